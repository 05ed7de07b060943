//! TLS by the OpenSSL that Python has loaded: a connection that Python made, driven without Python. Knows no Python.

pub mod machine;
pub mod openssl;
