//! A line to a server that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Its threads end with the process.
pub struct Relay {
    pub port: u16,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            line: Arc::default(),
        };
        let line = Arc::clone(&relay.line);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let mut line = line.lock().unwrap();
                if line.is_cut {
                    continue;
                }
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                line.open
                    .extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                pass(far, near);
            }
        });
        relay
    }

    /// Ends what is under way; nothing comes through any more.
    pub fn cut(&self) {
        let mut line = self.line.lock().unwrap();
        line.is_cut = true;
        for stream in line.open.drain(..) {
            // One that has ended is cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.line.lock().unwrap().is_cut = false;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut piece = [0; 16 << 10];
        while let Ok(len @ 1..) = from.read(&mut piece) {
            if to.write_all(&piece[..len]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
