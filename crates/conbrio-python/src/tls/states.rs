//! How far a connection is: CPython's `SSLProtocolState`, and which state may follow which. It moves no bytes.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::write::send_last;
use super::{State, TlsFlow};
use crate::ffi::{Instance, Object, Outcome};
use crate::protocol::Hears;

/// CPython's members of `SSLProtocolState`, with what each is here.
type Members = [(Py<PyAny>, State); 5];

fn members(py: Python<'_>) -> PyResult<&'static Members> {
    static MEMBERS: PyOnceLock<Members> = PyOnceLock::new();
    MEMBERS.get_or_try_init(py, || {
        let members = py.import("asyncio.sslproto")?.getattr("SSLProtocolState")?;
        let member = |name: &str| members.getattr(name).map(Bound::unbind);
        Ok([
            (member("WRAPPED")?, State::Wrapped),
            (member("DO_HANDSHAKE")?, State::Handshake),
            (member("FLUSHING")?, State::Flushing),
            (member("SHUTDOWN")?, State::Shutdown),
            (member("UNWRAPPED")?, State::Unwrapped),
        ])
    })
}

/// The state that a member stands for, if it is one of CPython's.
pub(super) fn state_of(py: Python<'_>, member: &Object) -> Outcome<Option<State>> {
    let found = members(py)?
        .iter()
        .find(|(known, _)| known.is(member.bind(py)));
    Ok(found.map(|(_, state)| *state))
}

/// Whether `next` may follow `now`: a connection can break off in every state.
const fn may_follow(now: State, next: State) -> bool {
    matches!(
        (now, next),
        (_, State::Unwrapped)
            | (State::Unwrapped, State::Handshake)
            | (State::Handshake, State::Wrapped)
            | (State::Wrapped, State::Flushing)
            | (State::Flushing, State::Shutdown)
    )
}

/// CPython: `_set_state`.
pub(super) fn advance(py: Python<'_>, this: &Instance<TlsFlow>, member: &Object) -> Outcome<()> {
    let next = state_of(py, member)?;
    // What was written leaves first. Unless reading is paused, the end itself sees to it, but not to what TLS within this
    // one still keeps.
    if next == Some(State::Flushing)
        && (this.switches.app_reading.get()
            || this.switches.carrier_writing.get()
            || matches!(this.protocol.hears(), Hears::Native(_)))
    {
        send_last(py, this);
    }
    match next {
        Some(next) if may_follow(this.state.get(), next) => {
            this.state.set(next);
            this.state_object.set(member.share());
            Ok(())
        }
        _ => Err(PyRuntimeError::new_err(format!(
            "cannot switch state from {} to {}",
            this.state_object.share_or_none().bind(py).str()?,
            member.bind(py).str()?
        ))
        .into()),
    }
}
