//! Python names: interned strings and objects imported when first needed.
//!
//! The one room that imports, so that nothing is imported twice or too early.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::ffi::{Object, Outcome, object};

/// Imports what is needed to say what went wrong when nothing can be imported any more: at the interpreter's end.
///
/// # Errors
/// When something cannot be imported.
pub(crate) fn begin(py: Python<'_>) -> Outcome<()> {
    for name in [
        asyncio_logger,
        extract_stack,
        format_callback_source,
        format_handle,
        future_repr,
        is_coroutine,
        task_get_stack,
        task_repr,
        warn,
    ] {
        name(py)?;
    }
    Ok(())
}

/// Declares functions that return interned strings.
macro_rules! strings {
    ($($name:ident = $text:literal;)*) => {$(
        #[doc = concat!("`", $text, "`, interned.")]
        #[inline]
        pub(crate) fn $name(py: Python<'_>) -> &Bound<'_, PyString> {
            pyo3::intern!(py, $text)
        }
    )*};
}

/// Declares functions that import an object once.
macro_rules! imports {
    ($($name:ident = $module:literal, $attribute:literal;)*) => {$(
        #[doc = concat!("`", $module, ".", $attribute, "`.")]
        ///
        /// # Errors
        /// When it cannot be imported.
        pub(crate) fn $name(py: Python<'_>) -> Outcome<&Object> {
            static IMPORTED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            Ok(object(IMPORTED.import(py, $module, $attribute)?))
        }
    )*};
}

strings! {
    app_transport = "_app_transport";
    call_eof_received = "_call_eof_received";
    do_flush = "_do_flush";
    do_handshake = "_do_handshake";
    do_shutdown = "_do_shutdown";
    fatal_error = "_fatal_error";
    handshake = "do_handshake";
    on_handshake_complete = "_on_handshake_complete";
    server_side = "_server_side";
    fatal_tls_error = "Fatal error on SSL protocol";
    pending = "pending";
    read = "read";
    sslobj = "_sslobj";
    start_shutdown = "_start_shutdown";
    write_appdata = "_write_appdata";
    args = "args";
    callback = "callback";
    popen = "_proc";
    returncode = "returncode";
    pid = "pid";
    add_done_callback = "add_done_callback";
    append = "append";
    empty = "empty";
    full = "full";
    get_nowait = "get_nowait";
    locked = "locked";
    release = "release";
    put_nowait = "put_nowait";
    qsize = "qsize";
    queue_get = "_get";
    queue_init = "_init";
    queue_put = "_put";
    asyncio_future_blocking = "_asyncio_future_blocking";
    buffer_updated = "buffer_updated";
    call_exception_handler = "call_exception_handler";
    call_at = "call_at";
    call_later = "call_later";
    call_soon = "call_soon";
    call_soon_threadsafe = "call_soon_threadsafe";
    delay = "delay";
    cancel = "cancel";
    cancelled = "cancelled";
    cancelling = "cancelling";
    check_callback = "_check_callback";
    close = "close";
    connection_lost = "connection_lost";
    connection_made = "connection_made";
    context = "context";
    coro = "coro";
    addr = "addr";
    data = "data";
    data_received = "data_received";
    datagram_received = "datagram_received";
    detach = "_detach";
    eager_start = "eager_start";
    eof_received = "eof_received";
    error_received = "error_received";
    exception = "exception";
    future_class_name = "Future";
    asyncgen_finalizer_hook = "_asyncgen_finalizer_hook";
    asyncgen_firstiter_hook = "_asyncgen_firstiter_hook";
    done = "done";
    send = "send";
    sendto = "sendto";
    log_destroy_pending = "_log_destroy_pending";
    remove_done_callback = "remove_done_callback";
    run_forever = "run_forever";
    attach = "_attach";
    create_future = "create_future";
    create_task = "create_task";
    get = "get";
    high = "high";
    is_closing = "is_closing";
    low = "low";
    peername = "peername";
    set_exception = "set_exception";
    set_result = "set_result";
    socket_name = "socket";
    sockname = "sockname";
    transports = "_transports";
    call_connection_lost = "_call_connection_lost";
    stop = "stop";
    source = "source";
    default = "default";
    exc = "exc";
    enabled = "enabled";
    factory = "factory";
    future = "future";
    protocol = "protocol";
    list_of_data = "list_of_data";
    fd = "fd";
    fileno = "fileno";
    fn_ = "fn";
    get_buffer = "get_buffer";
    get_extra_info = "get_extra_info";
    get_debug = "get_debug";
    get_loop = "get_loop";
    handle_signal = "_handle_signal";
    is_running = "is_running";
    event_loop = "loop";
    message = "message";
    msg = "msg";
    file = "file";
    limit = "limit";
    private_exception = "_exception";
    private_result = "_result";
    private_state = "_state";
    private_loop = "_loop";
    name = "name";
    item = "item";
    number = "n";
    pop = "pop";
    predicate = "predicate";
    pause_writing = "pause_writing";
    popleft = "popleft";
    remove = "remove";
    on_task_done = "_on_task_done";
    on_timeout = "_on_timeout";
    pipe = "pipe";
    result = "result";
    return_exceptions = "return_exceptions";
    resume_writing = "resume_writing";
    run = "_run";
    run_in_context = "run";
    throw = "throw";
    task_class_name = "Task";
    arg = "arg";
    fs = "fs";
    return_when = "return_when";
    time = "time";
    timeout = "timeout";
    when = "when";
}

// Attributes of asyncio's streams.
strings! {
    feed_data = "feed_data";
    pause_reading = "pause_reading";
    private_buffer = "_buffer";
    private_eof = "_eof";
    private_limit = "_limit";
    private_waiter = "_waiter";
    resume_reading = "resume_reading";
    stream_reader_wr = "_stream_reader_wr";
    wakeup_waiter = "_wakeup_waiter";
    write = "write";
    writelines = "writelines";
}

#[cfg(Py_3_14)]
strings! {
    acquire = "acquire";
}

#[cfg(Py_3_14)]
imports! {
    allocate_lock = "_thread", "allocate_lock";
    threadsafe_handle_class = "asyncio.events", "_ThreadSafeHandle";
}

#[cfg(not(Py_3_14))]
imports! {
    adopt = "conbrio._registry", "adopt";
}

#[cfg(not(Py_3_13))]
imports! {
    queue_shut_down = "asyncio.queues", "QueueEmpty";
}

#[cfg(Py_3_13)]
strings! {
    immediate = "immediate";
}

#[cfg(Py_3_13)]
imports! {
    queue_shut_down = "asyncio.queues", "QueueShutDown";
}

imports! {
    heappop = "heapq", "heappop";
    heappush = "heapq", "heappush";
    own_event_class = "conbrio._sync", "Event";
    own_lifo_queue_class = "conbrio._sync", "LifoQueue";
    own_lock_class = "conbrio._sync", "Lock";
    own_priority_queue_class = "conbrio._sync", "PriorityQueue";
    queue_empty = "asyncio.queues", "QueueEmpty";
    queue_full = "asyncio.queues", "QueueFull";
    deque = "collections", "deque";
    current_task = "asyncio.tasks", "current_task";
    task_group_class = "asyncio.taskgroups", "TaskGroup";
    add_to_awaited_by = "_asyncio", "future_add_to_awaited_by";
    discard_from_awaited_by = "_asyncio", "future_discard_from_awaited_by";
    usual_shield = "asyncio.tasks", "shield";
    is_awaitable = "inspect", "isawaitable";
    is_future = "asyncio.futures", "isfuture";
    broken_barrier_error = "asyncio.exceptions", "BrokenBarrierError";
    barrier_states = "asyncio.locks", "_BarrierState";
    own_completed_class = "conbrio._sync", "_AsCompletedIterator";
    own_condition_class = "conbrio._sync", "Condition";
    own_queue_class = "conbrio._sync", "Queue";
    usual_gather = "asyncio.tasks", "gather";
    timeout_states = "asyncio.timeouts", "_State";
    own_timeout_class = "conbrio._sync", "Timeout";
    executor_future = "concurrent.futures", "Future";
    copy_future_state = "asyncio.futures", "_copy_future_state";
    cancelled_error = "asyncio.exceptions", "CancelledError";
    incomplete_read_error = "asyncio.exceptions", "IncompleteReadError";
    limit_overrun_error = "asyncio.exceptions", "LimitOverrunError";
    invalid_state_error = "asyncio.exceptions", "InvalidStateError";
    extract_stack = "asyncio.format_helpers", "extract_stack";
    get_event_loop = "asyncio.events", "get_event_loop";
    get_running_loop = "_asyncio", "_get_running_loop";
    running_loop = "asyncio.events", "get_running_loop";
    set_running_loop = "_asyncio", "_set_running_loop";
    enter_task = "_asyncio", "_enter_task";
    swap_current_task = "_asyncio", "_swap_current_task";
    leave_task = "_asyncio", "_leave_task";
    future_class = "_asyncio", "Future";
    futures_module = "asyncio", "futures";
    task_class = "_asyncio", "Task";
    tasks_module = "asyncio", "tasks";
    own_future_class = "conbrio._conbrio", "Future";
    own_task_class = "conbrio._conbrio", "Task";
    future_repr = "asyncio.base_futures", "_future_repr";
    task_repr = "asyncio.base_tasks", "_task_repr";
    task_get_stack = "asyncio.base_tasks", "_task_get_stack";
    task_print_stack = "asyncio.base_tasks", "_task_print_stack";
    is_coroutine = "asyncio.coroutines", "iscoroutine";
    is_generator = "inspect", "isgenerator";
    format_handle = "asyncio.base_events", "_format_handle";
    asyncio_logger = "asyncio.log", "logger";
    main_thread = "threading", "main_thread";
    set_wakeup_fd = "signal", "set_wakeup_fd";
    format_callback_source = "asyncio.format_helpers", "_format_callback_source";
    handle_class = "asyncio.events", "Handle";
    timer_handle_class = "asyncio.events", "TimerHandle";
    get_asyncgen_hooks = "sys", "get_asyncgen_hooks";
    set_asyncgen_hooks = "sys", "set_asyncgen_hooks";
    eager_task_factory = "asyncio.tasks", "eager_task_factory";
    when_named = "conbrio._eager", "when_named";
    stop_when_done = "asyncio.base_events", "_run_until_complete_cb";
    base_event_loop = "asyncio.base_events", "BaseEventLoop";
    buffered_protocol = "asyncio.protocols", "BufferedProtocol";
    datagram_base = "asyncio.transports", "DatagramTransport";
    flow_control = "asyncio.transports", "_FlowControlMixin";
    read_transport = "asyncio.transports", "ReadTransport";
    sendfile_not_available = "asyncio.exceptions", "SendfileNotAvailableError";
    sendfile_mode = "asyncio.constants", "_SendfileMode";
    set_result_unless_cancelled = "asyncio.futures", "_set_result_unless_cancelled";
    socket_class = "conbrio._sockets", "SOCKET";
    system_socket_class = "_socket", "socket";
    ssl_again_errors = "asyncio.sslproto", "SSLAgainErrors";
    ssl_error = "ssl", "SSLError";
    ssl_zero_return_error = "ssl", "SSLZeroReturnError";
    ssl_object = "ssl", "SSLObject";
    ssl_socket = "_ssl", "_SSLSocket";
    memory_bio = "_ssl", "MemoryBIO";
    transport_socket = "conbrio._trsock", "TransportSocket";
    report_socket = "asyncio.trsock", "TransportSocket";
    warn = "warnings", "warn";
    af_inet = "socket", "AF_INET";
    af_inet6 = "socket", "AF_INET6";
    sock_dgram = "socket", "SOCK_DGRAM";
    sock_raw = "socket", "SOCK_RAW";
    sock_stream = "socket", "SOCK_STREAM";
    check_ssl_socket = "asyncio.base_events", "_check_ssl_socket";
    ensure_future = "asyncio.tasks", "ensure_future";
}
