//! OpenSSL, as found in the process: its functions, the memory that stands where a socket would, and one connection.
//!
//! The only `unsafe` of this crate. No library is linked: a copy of our own could not drive what Python's has made.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one promise of OpenSSL's covers the whole of such a conversation"
)]

mod connection;
mod library;
mod pipe;

pub use connection::{Connection, Read, Write};
pub use library::Library;
pub use pipe::Pipe;
