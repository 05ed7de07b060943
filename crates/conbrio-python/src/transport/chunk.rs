//! What is written: the bytes that objects lend, kept or copied, and CPython's complaints of those that have none.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::ffi::{Buffer, Bytes, Object, Outcome, Raised, Ref, bytes, object, raise};

/// Bytes that are owed.
pub(crate) enum Chunk {
    /// Kept by reference: a `bytes` never changes.
    Shared(Bytes),
    /// Copied, as the owner may change them.
    Copied(Box<[u8]>),
}

impl AsRef<[u8]> for Chunk {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes.as_ref(),
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Chunk {
    /// The content as a Python object.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn object(&self, py: Python<'_>) -> Outcome<Ref> {
        match self {
            Self::Shared(shared) => Ok(shared.object()),
            Self::Copied(copied) => bytes(py, copied),
        }
    }

    /// The content of an object that lends memory.
    ///
    /// # Errors
    /// `BufferError` when the memory cannot be lent as it is.
    pub(crate) fn of(py: Python<'_>, data: &Object) -> Outcome<Self> {
        match Bytes::share(data) {
            Some(bytes) => Ok(Self::Shared(bytes)),
            None => Ok(Self::Copied(
                Buffer::to_read(py, data)?.to_vec().into_boxed_slice(),
            )),
        }
    }
}

/// Whether CPython's transports take the object: exactly the kinds that their checks name.
pub(crate) fn is_bytes_like(py: Python<'_>, data: &Object) -> bool {
    let data = data.bind(py);
    data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
}

/// CPython's complaint of an object that it does not take.
#[cold]
pub(super) fn not_bytes(py: Python<'_>, data: &Object) -> Raised {
    let name = data
        .bind(py)
        .get_type()
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    let wanted = if cfg!(Py_3_14) {
        "bytes, bytearray, or memoryview object"
    } else {
        "bytes-like object"
    };
    PyTypeError::new_err(format!("data argument must be a {wanted}, not '{name}'")).into()
}

/// The pieces of `writelines(list_of_data)`.
///
/// # Errors
/// CPython's complaint of what has no bytes.
pub(super) fn chunks(py: Python<'_>, list: &Object) -> Outcome<Vec<Chunk>> {
    let pieces = list.bind(py).try_iter().map_err(|error| {
        if cfg!(not(Py_3_12)) && error.is_instance_of::<PyTypeError>(py) {
            PyTypeError::new_err("can only join an iterable")
        } else {
            error
        }
    })?;
    let mut chunks = Vec::new();
    for data in pieces {
        let data = data?;
        match Chunk::of(py, object(&data)) {
            Ok(chunk) => chunks.push(chunk),
            Err(raised) => {
                let exception = raised.take();
                // CPython: leaves out what is empty, whatever it is.
                if cfg!(not(Py_3_14)) || data.is_truthy()? {
                    return Err(complaint(exception, &data, chunks.len()));
                }
            }
        }
    }
    Ok(chunks)
}

/// What is said of `data`, which has no bytes. CPython: makes a memoryview of each, whose complaint this is, or joins them.
#[cold]
fn complaint(exception: Ref, data: &Bound<'_, PyAny>, index: usize) -> Raised {
    match PyMemoryView::from(data) {
        Ok(_) => raise(exception),
        Err(error) if cfg!(Py_3_12) => error.into(),
        Err(_) => {
            let name = data.get_type().name();
            let name = name.map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!(
                "sequence item {index}: expected a bytes-like object, {name} found"
            ))
            .into()
        }
    }
}
