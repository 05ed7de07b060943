//! Datagrams that arrive: many taken at once, each given to the protocol as if it had come alone.

use std::collections::VecDeque;
use std::io;

use conbrio_core::clock;
use conbrio_core::sources::Side;
use conbrio_driver::sys::address::Address;
use conbrio_driver::sys::{is_blocked, socket};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::prelude::*;

use super::addresses::Place;
use super::{DatagramTransport, Way};
use crate::engine::{Engine, SHARED};
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Thunk, bytes, context, raise, tuple_items,
};
use crate::protocol;
use crate::report::{ends_loop, os_exception};
use crate::transport::ending::{fatal_exception, guarded, log};
use crate::transport::extra::address_object;

/// The descriptor is readable.
pub(super) fn heard(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    // Order: what has arrived before comes first, in a turn of its own.
    if this.life.lost.get() != 0 || !this.life.reading.get() || this.life.rest_due.get() {
        return Ok(());
    }
    in_context(py, &this, |engine| match this.life.way.get() {
        // What was left has had this turn; the descriptor is heard again in the next.
        _ if this.life.rest_turn.get() == engine.turn(py) => Ok(()),
        Way::Internet(_) => receive(py, &this, engine),
        Way::Unix => receive_one(py, &this, engine),
        Way::Asked => ask(py, &this),
    })
}

/// The turn after one in which something was left.
fn rest_heard(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    this.life.rest_due.set(false);
    if this.life.lost.get() != 0 {
        return Ok(());
    }
    in_context(py, &this, |engine| {
        this.life.rest_turn.set(engine.turn(py));
        deliver(py, &this, engine)
    })
}

/// Runs `user` in the protocol's context, and reports what it raises there.
fn in_context(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    user: impl FnOnce(&Instance<Engine>) -> Outcome<()>,
) -> Outcome<()> {
    let (Some(engine), Some(context)) = (this.engine(), this.context.share()) else {
        return Ok(());
    };
    let Err(raised) = context::within(py, &context, || user(&engine)) else {
        return Ok(());
    };
    // What the protocol raised stops nothing else.
    this.leave_rest(py, &engine);
    guarded(py, this, "_read_ready", Err(raised))
}

/// Takes what there is, and gives it to the protocol.
fn receive(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    engine: &Instance<Engine>,
) -> Outcome<()> {
    let mut window = this.life.window.get();
    let asked = window.ask();
    let fd = this.number_now(py);
    let came = engine.with_arrivals(py, |arrivals| {
        let came = match arrivals.receive(fd, asked) {
            Ok(came) => came,
            Err(error) => return Ok(Err(error)),
        };
        for index in 0..came {
            let (data, sender) = arrivals.get(index);
            let arrived = (bytes(py, data)?, Place::of_bytes(sender));
            this.arrived.lend(py, |queue| queue.push_back(arrived));
        }
        Ok::<_, Raised>(Ok(came))
    })?;
    match came {
        Ok(came) => {
            window.note(asked, came);
            this.life.window.set(window);
            deliver(py, this, engine)
        }
        Err(error) => {
            window.note(asked, 0);
            this.life.window.set(window);
            failed(py, this, &error)
        }
    }
}

/// How long datagrams that have arrived together are given to the protocol before others of the loop have their turn.
const TOGETHER_MICROS: u64 = 100;

/// Gives what has arrived to the protocol, as long as that schedules nothing and takes no long: if it does, what is scheduled
/// runs first, and so does what has become due, as when each datagram has a turn of its own.
fn deliver(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    engine: &Instance<Engine>,
) -> Outcome<()> {
    let began = clock::ticks();
    loop {
        if !this.is_reading() {
            return Ok(());
        }
        let Some((data, place)) = this.arrived.lend(py, VecDeque::pop_front) else {
            return Ok(());
        };
        let Some(protocol) = this.protocol.share() else {
            return Ok(());
        };
        let sender = this.sender(py, &place)?;
        let before = engine.schedule(py);
        protocol::datagram_received(py, &protocol, &data, &sender)?;
        let late = clock::ticks().wrapping_sub(began) > clock::ticks_of(TOGETHER_MICROS);
        if late || engine.schedule(py) != before {
            this.leave_rest(py, engine);
            return Ok(());
        }
    }
}

/// Takes one datagram of a Unix socket, which may be larger than any of the internet.
fn receive_one(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    engine: &Instance<Engine>,
) -> Outcome<()> {
    let mut sender = Address::default();
    let fd = this.number_now(py);
    let received = engine.with_buffer(py, |buffer| {
        match socket::recv_from(fd, buffer, &mut sender) {
            Ok(count) => bytes(py, buffer.get(..count).unwrap_or_default()).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    })?;
    match received {
        Ok(data) => {
            let sender = address_object(py, &sender)?;
            tell(py, this, &data, &sender)
        }
        Err(error) => failed(py, this, &error),
    }
}

/// Has the Python socket receive one datagram.
fn ask(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    let sock = this.sock.share_or_none();
    match sock.bind(py).call_method1("recvfrom", (SHARED,)) {
        Ok(received) => match tuple_items(crate::ffi::object(&received)) {
            [data, sender] => tell(py, this, data, sender),
            _ => Ok(()),
        },
        Err(error) => {
            let exception = Raised::from(error).take();
            let bound = exception.bind(py);
            if bound.is_instance_of::<PyBlockingIOError>()
                || bound.is_instance_of::<PyInterruptedError>()
            {
                return Ok(());
            }
            if bound.is_instance_of::<PyOSError>() {
                return this.tell_error(py, &exception);
            }
            if ends_loop(py, &exception) {
                return Err(raise(exception));
            }
            let message = "Fatal read error on datagram transport";
            fatal_exception(py, this, &exception, message)
        }
    }
}

fn tell(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    data: &Object,
    sender: &Object,
) -> Outcome<()> {
    match this.protocol.share() {
        Some(protocol) => protocol::datagram_received(py, &protocol, data, sender),
        None => Ok(()),
    }
}

#[cold]
fn failed(py: Python<'_>, this: &Instance<DatagramTransport>, error: &io::Error) -> Outcome<()> {
    if is_blocked(error) {
        return Ok(());
    }
    this.tell_error(py, &*os_exception(py, error)?)
}

impl Instance<DatagramTransport> {
    /// Tells the protocol of an error of the system's.
    ///
    /// # Errors
    /// What the protocol raises.
    pub(super) fn tell_error(&self, py: Python<'_>, exception: &Object) -> Outcome<()> {
        match self.protocol.share() {
            Some(protocol) => protocol::error_received(py, &protocol, exception),
            None => Ok(()),
        }
    }

    /// Leaves what has arrived to the next turn, behind all that this one schedules.
    fn leave_rest(&self, py: Python<'_>, engine: &Instance<Engine>) {
        if self.has_rest(py) && !self.life.rest_due.replace(true) {
            engine.flush_later(py, Thunk::new(self.own(), push_rest));
        }
    }

    fn has_rest(&self, py: Python<'_>) -> bool {
        self.arrived.lend(py, |arrived| !arrived.is_empty())
    }

    /// Forgets what has arrived: nobody is going to ask for it.
    pub(super) fn forget_arrived(&self, py: Python<'_>) {
        let arrived = self.arrived.lend(py, std::mem::take);
        drop(arrived);
    }

    /// Has the engine listen for datagrams.
    ///
    /// # Errors
    /// `OSError` when the system cannot watch the descriptor.
    pub(super) fn start_reading(&self, py: Python<'_>) -> Outcome<()> {
        let Some(engine) = self.engine() else {
            return Ok(());
        };
        let runnable = Thunk::new(self.own(), heard);
        drop(engine.watch(py, self.fd.get(), Side::Reader, runnable)?);
        self.life.reading.set(true);
        if self.has_rest(py) && !self.life.rest_due.replace(true) {
            engine.push(py, Thunk::new(self.own(), rest_heard));
        }
        Ok(())
    }

    /// Has the engine listen no more.
    pub(super) fn stop_reading(&self, py: Python<'_>) {
        if self.life.reading.replace(false)
            && let Some(engine) = self.engine()
        {
            drop(engine.unwatch(py, self.fd.get(), Side::Reader));
        }
    }

    /// `pause_reading()`.
    pub(super) fn pause_reading(&self, py: Python<'_>) -> Outcome<()> {
        if !self.is_reading() {
            return Ok(());
        }
        self.life.paused.set(true);
        self.stop_reading(py);
        log(py, self, "debug", "%r pauses reading")
    }

    /// `resume_reading()`.
    pub(super) fn resume_reading(&self, py: Python<'_>) -> Outcome<()> {
        if self.life.closing.get() || !self.life.paused.get() {
            return Ok(());
        }
        self.life.paused.set(false);
        self.follow_context(py)?;
        self.start_reading(py)?;
        log(py, self, "debug", "%r resumes reading")
    }
}

/// The end of the turn in which something was left.
#[expect(clippy::unnecessary_wraps, reason = "a runnable's shape")]
fn push_rest(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    if let Some(engine) = this.engine() {
        engine.push(py, Thunk::new(this, rest_heard));
    }
    Ok(())
}
