//! The ground floor: asks the operating system which descriptors are ready, and moves bytes.
//!
//! A crate of its own so that the compiler keeps it ignorant of order, of bytes owed and of
//! Python. `unsafe` stands in [`sys`] only.

pub mod alarm;
pub mod any;
pub mod driver;
pub mod epoll;
pub mod event;
pub mod poll;
pub mod sim;
pub mod sys;
pub mod wake;
