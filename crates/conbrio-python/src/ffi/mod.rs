//! What PyO3 has no safe words for: native classes, CPython's private layouts, raw calls. The only `unsafe` of this crate.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one promise of CPython's covers the whole of such a conversation"
)]

pub(crate) mod arenas;
mod args;
mod audit;
mod borrower;
mod buffer;
mod builtin;
mod bytearray;
mod bytes;
mod call;
mod class;
pub(crate) mod context;
mod coroutine_function;
mod current;
mod deaths;
pub(crate) mod exception;
mod guarded;
mod instance;
mod kept;
pub(crate) mod layout;
mod number;
mod object;
mod send;
mod session;
mod stay;
mod stop;
mod thunk;
mod trampoline;
mod unchanged;
mod visit;

pub(crate) use args::{Args, Leading, Names, Parameters, tuple_items};
pub(crate) use audit::is_audited;
pub(crate) use borrower::Borrower;
pub(crate) use buffer::Buffer;
pub(crate) use builtin::Builtin;
pub(crate) use bytearray::{bytearray, bytearray_len, extend_bytearray, is_bytearray};
pub(crate) use bytes::{Bytes, bytes, filled_bytes, joined_bytes, refill_bytes};
pub(crate) use call::{
    as_float, attribute, attribute_if_any, call, call_keyword, call_method, call_tuple,
    check_signals, file_descriptor, float, is_callable, is_coroutine, is_empty, is_equal,
    is_exception, is_float, is_instance, is_int, is_true, one_deeper, set_attribute, sign_of_int,
    thread_ident, tuple, weak_reference, write_unraisable,
};
pub(crate) use class::Builder;
pub(crate) use coroutine_function::make_class as make_coroutine_function_class;
pub(crate) use current::{CurrentTask, TaskList, find as find_current, running_task};
pub(crate) use guarded::Guarded;
pub(crate) use instance::{BeginsWith, Class, ClassState, Instance, Own, begins_with, class_of};
pub(crate) use kept::{flag, kept};
pub(crate) use number::socket_number;
pub(crate) use object::{
    Object, Outcome, Raised, Ref, Slot, handled, handling, is_main_interpreter, none, object,
    raise, raise_in_context, take_raised,
};
pub(crate) use send::{Resumed, Step, resume, returned_value, stopped_with};
pub(crate) use session::Session;
pub(crate) use stop::make_class as make_stop_class;
pub(crate) use thunk::Thunk;
pub(crate) use trampoline::catching;
pub(crate) use unchanged::{Unchanged, lookup, referent, tag_of_class, version_tag};
pub(crate) use visit::Visit;
