//! The first floor: what runs next, and which bytes are owed.
//!
//! A crate of its own so that the compiler keeps it ignorant of Python; everything is generic over
//! what it orders. System calls come from `conbrio-driver` only.
#![forbid(unsafe_code)]

pub mod clock;
pub mod datagram;
pub mod dial;
pub mod inflow;
pub mod lines;
pub mod listener;
pub mod lookout;
pub mod outbox;
pub mod ready;
pub mod resolve;
pub mod singles;
pub mod sleeper;
pub mod sources;
pub mod stats;
pub mod timers;
pub mod turn;
pub mod waiters;
