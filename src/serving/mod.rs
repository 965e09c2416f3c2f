//! What a server needs of the machine before it serves: a process that keeps its secrets, sockets, certificates.

pub mod certificates;
pub mod limits;
pub mod listen;
pub mod process;
pub mod sealed;
pub mod server;
pub mod tokens;
pub mod witnesses;
