//! Writes an archive to anything that takes bytes; seeks nowhere.

use std::io::{self, Write};

use super::{MEMBERS_MAX, Member, header, is_name};

/// Writes members one after the other.
#[derive(Debug)]
pub struct ZipWriter<W> {
    out: W,
    offset: u64,
    members: Vec<Member>,
    open: Option<(Member, crc32fast::Hasher)>,
}

impl<W: Write> ZipWriter<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self {
            out,
            offset: 0,
            members: Vec::new(),
            open: None,
        }
    }

    /// Ends the member before, if any, and starts one.
    ///
    /// # Errors
    /// What the output says, or `InvalidInput` for a name that cannot be one, comes twice, or is one too many.
    pub fn start(&mut self, name: &str) -> io::Result<()> {
        self.end_member()?;
        let known = self.members.iter().any(|member| member.name == name);
        if known || !is_name(name) || self.members.len() == MEMBERS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "name of a member"));
        }
        let member = Member {
            name: name.to_owned(),
            bytes: 0,
            crc: 0,
            offset: self.offset,
        };
        self.put(&header::local(name))?;
        self.open = Some((member, crc32fast::Hasher::new()));
        Ok(())
    }

    /// Writes bytes of the member that was started last.
    ///
    /// # Errors
    /// What the output says.
    ///
    /// # Panics
    /// If none was started.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (member, crc) = self.open.as_mut().expect("a member was started");
        crc.update(bytes);
        member.bytes += count(bytes);
        self.put(bytes)
    }

    /// Writes a whole member.
    ///
    /// # Errors
    /// As [`ZipWriter::start`].
    pub fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.start(name)?;
        self.write(bytes)
    }

    /// Writes the directory, and returns the output with the number of bytes written to it.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.end_member()?;
        let directory = self.offset;
        for member in std::mem::take(&mut self.members) {
            self.put(&header::directory(&member))?;
            self.members.push(member);
        }
        let end = header::end(
            u64::try_from(self.members.len()).expect("a count fits 64 bits"),
            self.offset - directory,
            directory,
        );
        self.put(&end)?;
        self.out.flush()?;
        Ok((self.out, self.offset))
    }

    fn end_member(&mut self) -> io::Result<()> {
        if let Some((mut member, crc)) = self.open.take() {
            member.crc = crc.finalize();
            self.put(&header::descriptor(&member))?;
            self.members.push(member);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.offset += count(bytes);
        Ok(())
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}
