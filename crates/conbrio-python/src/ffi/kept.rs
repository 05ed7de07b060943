//! Attributes of Python's that lie in a field as they are: what asyncio keeps in private ones and lets programs set.

/// Adds an attribute that lies in a `Slot`; `None` and `del` leave nothing in it, and nothing is shown as `None`.
macro_rules! kept {
    ($builder:expr, $name:literal, $doc:literal, $($field:ident).+) => {
        $builder.property(
            $name,
            $doc,
            |_, this| Ok(this.$($field).+.share_or_none()),
            |_, this, value| {
                this.$($field).+.keep(value);
                Ok(())
            },
        )
    };
}
pub(crate) use kept;

/// Adds an attribute that is true or false and lies in a `Cell<bool>`; `del` makes it false.
macro_rules! flag {
    ($builder:expr, $name:literal, $doc:literal, $($field:ident).+) => {
        $builder.property(
            $name,
            $doc,
            |_, this| Ok($crate::ffi::Ref::boolean(this.$($field).+.get())),
            |py, this, value| {
                let value = value.map_or(Ok(false), |value| $crate::ffi::is_true(py, value))?;
                this.$($field).+.set(value);
                Ok(())
            },
        )
    };
}
pub(crate) use flag;
