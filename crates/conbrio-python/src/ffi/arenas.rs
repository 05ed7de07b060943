//! The memory that the interpreter's small objects lie in: some of what it gives back is kept for the next burst.
//!
//! A loop makes very many objects in one turn and drops them in the next. The interpreter then returns their memory to
//! the system, a mebibyte at a time, only to ask for it again; each page of it costs a fault. So a few mebibytes are
//! kept between its allocator and the system, and go back once they have not been needed for a while.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use pyo3::ffi;
use pyo3::prelude::*;

/// The most that is kept, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// After how many waits without a need one piece goes back at each further wait.
const PATIENCE: usize = 64;

/// Pieces of memory that nobody uses: where each begins, and its size.
struct Kept(Vec<(*mut c_void, usize)>);

// SAFETY: plain memory, which belongs to nobody else.
unsafe impl Send for Kept {}

static KEPT: Mutex<Kept> = Mutex::new(Kept(Vec::new()));

/// How many bytes are kept.
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// How many waits there were since a kept piece was needed.
static WAITS: AtomicUsize = AtomicUsize::new(0);

/// Whether the interpreter asks us.
static KEEPS: AtomicBool = AtomicBool::new(false);

/// Whom the interpreter has asked before, and whom we ask.
struct System(ffi::PyObjectArenaAllocator);

// SAFETY: two functions and what they are given; they may be called on any thread that may call the interpreter's own.
unsafe impl Send for System {}
// SAFETY: likewise.
unsafe impl Sync for System {}

static SYSTEM: OnceLock<System> = OnceLock::new();

/// Keeps memory from now on; to be asked at the beginning of a run.
#[inline]
pub(crate) fn keep(py: Python<'_>) {
    if !KEEPS.load(Ordering::Relaxed) {
        begin(py);
    }
}

#[cold]
fn begin(_py: Python<'_>) {
    KEEPS.store(true, Ordering::Relaxed);
    let mut found = ffi::PyObjectArenaAllocator {
        ctx: std::ptr::null_mut(),
        alloc: None,
        free: None,
    };
    // SAFETY: attached; both calls copy the structure that they are given.
    unsafe {
        ffi::PyObject_GetArenaAllocator(&raw mut found);
        if found.alloc.is_none() || found.free.is_none() || SYSTEM.set(System(found)).is_err() {
            return;
        }
        let mut ours = ffi::PyObjectArenaAllocator {
            ctx: std::ptr::null_mut(),
            alloc: Some(allocate),
            free: Some(release),
        };
        ffi::PyObject_SetArenaAllocator(&raw mut ours);
    }
}

/// Notes that a loop is about to wait.
#[inline]
pub(crate) fn rest(py: Python<'_>) {
    if SIZE.load(Ordering::Relaxed) > 0 {
        give_back(py);
    }
}

#[cold]
fn give_back(_py: Python<'_>) {
    if WAITS.fetch_add(1, Ordering::Relaxed) < PATIENCE {
        return;
    }
    if let Some((place, size)) = taken(|_| true) {
        free(place, size);
    }
}

/// Takes the newest kept piece of a fitting size.
fn taken(fits: impl Fn(usize) -> bool) -> Option<(*mut c_void, usize)> {
    let mut kept = KEPT.try_lock().ok()?;
    let index = kept.0.iter().rposition(|(_, size)| fits(*size))?;
    let piece = kept.0.swap_remove(index);
    SIZE.fetch_sub(piece.1, Ordering::Relaxed);
    Some(piece)
}

/// Keeps a piece if there is room.
fn kept(place: *mut c_void, size: usize) -> bool {
    let Ok(mut kept) = KEPT.try_lock() else {
        return false;
    };
    if SIZE.load(Ordering::Relaxed) + size > MOST || kept.0.try_reserve(1).is_err() {
        return false;
    }
    kept.0.push((place, size));
    SIZE.fetch_add(size, Ordering::Relaxed);
    true
}

extern "C" fn allocate(_context: *mut c_void, size: usize) -> *mut c_void {
    if let Some((place, _)) = taken(|kept| kept == size) {
        WAITS.store(0, Ordering::Relaxed);
        return place;
    }
    match SYSTEM.get() {
        Some(System(ffi::PyObjectArenaAllocator {
            ctx,
            alloc: Some(alloc),
            ..
        })) => alloc(*ctx, size),
        _ => std::ptr::null_mut(),
    }
}

extern "C" fn release(_context: *mut c_void, place: *mut c_void, size: usize) {
    if !kept(place, size) {
        free(place, size);
    }
}

/// Gives a piece, which the system has given and nobody uses, back to it.
fn free(place: *mut c_void, size: usize) {
    if let Some(System(ffi::PyObjectArenaAllocator {
        ctx,
        free: Some(free),
        ..
    })) = SYSTEM.get()
    {
        free(*ctx, place, size);
    }
}
