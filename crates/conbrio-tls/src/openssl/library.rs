//! The functions of the OpenSSL that a loaded module is linked to, looked up by name when the first connection is made.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::ptr::NonNull;

use super::pipe;

/// Declares the table of functions and how it is filled.
macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions that a connection needs.
        pub struct Library {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*
            /// How our memory answers when OpenSSL reads and writes.
            pub(super) method: NonNull<c_void>,
        }

        impl Library {
            /// Looks every function up in `handle` and what it depends on.
            ///
            /// # Safety
            /// `handle` is one of `dlopen`'s, and what it has by these names is OpenSSL 1.1.1 or later.
            unsafe fn look_up(handle: *mut c_void) -> Result<Self, String> {
                $(
                    let $name = symbol(handle, $symbol)?;
                    // SAFETY: a function of this name has this type in every OpenSSL since 1.1.1.
                    let $name: unsafe extern "C" fn($($argument),*) $(-> $answer)? = unsafe { std::mem::transmute($name) };
                )*
                Self { $($name,)* method: NonNull::dangling() }.with_method()
            }
        }
    };
}

functions! {
    ssl_read_ex = c"SSL_read_ex": fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int;
    ssl_write_ex = c"SSL_write_ex": fn(*mut c_void, *const c_void, usize, *mut usize) -> c_int;
    ssl_get_error = c"SSL_get_error": fn(*const c_void, c_int) -> c_int;
    ssl_get_shutdown = c"SSL_get_shutdown": fn(*const c_void) -> c_int;
    ssl_get_ssl_ctx = c"SSL_get_SSL_CTX": fn(*const c_void) -> *mut c_void;
    ssl_has_pending = c"SSL_has_pending": fn(*const c_void) -> c_int;
    ssl_set_bio = c"SSL_set_bio": fn(*mut c_void, *mut c_void, *mut c_void);
    err_clear_error = c"ERR_clear_error": fn();
    bio_new = c"BIO_new": fn(*const c_void) -> *mut c_void;
    bio_up_ref = c"BIO_up_ref": fn(*mut c_void) -> c_int;
    bio_free = c"BIO_free": fn(*mut c_void) -> c_int;
    bio_set_data = c"BIO_set_data": fn(*mut c_void, *mut c_void);
    bio_get_data = c"BIO_get_data": fn(*mut c_void) -> *mut c_void;
    bio_set_init = c"BIO_set_init": fn(*mut c_void, c_int);
    bio_set_flags = c"BIO_set_flags": fn(*mut c_void, c_int);
    bio_clear_flags = c"BIO_clear_flags": fn(*mut c_void, c_int);
    bio_meth_new = c"BIO_meth_new": fn(c_int, *const c_char) -> *mut c_void;
    bio_meth_set_read = c"BIO_meth_set_read":
        fn(*mut c_void, unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int) -> c_int;
    bio_meth_set_write = c"BIO_meth_set_write":
        fn(*mut c_void, unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> c_int) -> c_int;
    bio_meth_set_ctrl = c"BIO_meth_set_ctrl":
        fn(*mut c_void, unsafe extern "C" fn(*mut c_void, c_int, c_long, *mut c_void) -> c_long) -> c_int;
    bio_meth_set_destroy = c"BIO_meth_set_destroy":
        fn(*mut c_void, unsafe extern "C" fn(*mut c_void) -> c_int) -> c_int;
}

// SAFETY: addresses of functions and of a table, none of which changes.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Finds the OpenSSL that the module in `file` is linked to (none: the program itself) and whose number is `version`.
    ///
    /// # Errors
    /// Says what is not there or differs.
    pub fn find(file: Option<&CStr>, version: c_ulong) -> Result<Self, String> {
        let path = file.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: a readable path or null; nothing is loaded that was not.
        let handle = unsafe { libc::dlopen(path, libc::RTLD_NOW | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            return Err("the ssl module's library is not loaded".to_owned());
        }
        let number = symbol(handle, c"OpenSSL_version_num")?;
        // SAFETY: a function of this name has this type in every OpenSSL since 1.1.0.
        let number: unsafe extern "C" fn() -> c_ulong = unsafe { std::mem::transmute(number) };
        // SAFETY: it takes nothing.
        let number = unsafe { number() };
        if number != version {
            return Err(format!(
                "OpenSSL is {number:#x}, the ssl module's is {version:#x}"
            ));
        }
        same_home(handle)?;
        // SAFETY: the version has been compared. The handle stays open for the life of the process, as the functions do.
        unsafe { Self::look_up(handle) }
    }
}

impl Library {
    /// Describes our memory to OpenSSL.
    fn with_method(mut self) -> Result<Self, String> {
        // SAFETY: a name that lives for ever.
        let method = unsafe { (self.bio_meth_new)(pipe::KIND, c"conbrio".as_ptr()) };
        self.method = NonNull::new(method).ok_or("OpenSSL has no memory")?;
        // SAFETY: fresh; the functions live as long as the process.
        unsafe {
            (self.bio_meth_set_read)(method, pipe::read);
            (self.bio_meth_set_write)(method, pipe::write);
            (self.bio_meth_set_ctrl)(method, pipe::ctrl);
            (self.bio_meth_set_destroy)(method, pipe::destroy);
        }
        Ok(self)
    }
}

/// The address behind a name, in the library or what it depends on.
fn symbol(handle: *mut c_void, name: &CStr) -> Result<NonNull<c_void>, String> {
    // SAFETY: an open handle and a C string.
    NonNull::new(unsafe { libc::dlsym(handle, name.as_ptr()) })
        .ok_or_else(|| format!("{} is not to be found", name.to_string_lossy()))
}

/// Refuses halves of two libraries: both functions that drive a connection come out of one file.
fn same_home(handle: *mut c_void) -> Result<(), String> {
    let mut homes = [std::ptr::null_mut(); 2];
    for (home, name) in homes.iter_mut().zip([c"SSL_read_ex", c"SSL_get_SSL_CTX"]) {
        // SAFETY: all fields may be null.
        let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: an address, and room for the answer.
        if unsafe { libc::dladdr(symbol(handle, name)?.as_ptr(), &raw mut found) } == 0 {
            return Err(format!("{} has no home", name.to_string_lossy()));
        }
        *home = found.dli_fbase;
    }
    match homes {
        [first, second] if first == second => Ok(()),
        _ => Err("OpenSSL's functions come from different files".to_owned()),
    }
}
