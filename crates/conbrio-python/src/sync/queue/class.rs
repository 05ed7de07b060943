//! The class Queue: its constructor, its methods and what asyncio's own code reaches for by private names.

use pyo3::prelude::*;

use super::items::{Items, Order};
use super::{GET, JOIN, PUT, Queue};
use crate::ffi::{
    Args, Builder, Instance, Object, Outcome, Parameters, Ref, Slot, is_instance, is_true, kept,
    object,
};
use crate::names;
use crate::op;
use crate::sync::line::{Line, waiters};
use crate::sync::shape::Shape;
use crate::sync::stock::{delegate, delegate_all, initialise_next};
use crate::sync::{Only, attribute_without_value, only_argument};
use std::cell::Cell;

/// In which order the class keeps its items.
fn order(py: Python<'_>, this: &Instance<Queue>) -> Outcome<Order> {
    let is_a = |class: &Object| is_instance(this.object(), class);
    Ok(if is_a(names::own_priority_queue_class(py)?) {
        Order::Smallest
    } else if is_a(names::own_lifo_queue_class(py)?) {
        Order::Lifo
    } else {
        Order::Fifo
    })
}

fn init(
    py: Python<'_>,
    this: &Instance<Queue>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let order = order(py, this)?;
    let limit = only_argument(py, args, keywords, pyo3::intern!(py, "maxsize"))?;
    let most = match &limit {
        Only::Nothing => Some(0),
        Only::This(given) => given.bind(py).extract::<i64>().ok(),
        Only::Others => None,
    };
    let Some(most) = most.filter(|_| !this.shape(py).is_foreign()) else {
        this.shape.set_foreign();
        return initialise_next(py, this, args, keywords);
    };
    this.items.begin(py, order);
    this.most.set(most);
    drop(this.limit.replace(match limit {
        Only::This(given) => Some(given),
        Only::Nothing | Only::Others => None,
    }));
    this.unfinished.set(0);
    this.is_shut_down.set(false);
    this.finished.clear();
    this.init_items(py, &limit_of(py, this))
}

/// The class `Queue`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Queue>::new(c"Queue(maxsize=0)\n--\n\nThe native half of Queue.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(Queue {
                items: Items::new(),
                getters: Line::new(),
                putters: Line::new(),
                bound: Slot::empty(),
                finished: Slot::empty(),
                limit: Slot::empty(),
                most: Cell::new(0),
                unfinished: Cell::new(0),
                is_shut_down: Cell::new(false),
                shape: Shape::unseen(),
            })
        })
        .init(init)
        .attribute_set(|py, this, name| {
            if this.shape.note::<Queue>(py, name) {
                this.open_items(py);
            }
        });
    let builder = counts(lines(ends(sizes(waits(builder)))));
    builder.create(py, None)
}

/// The item of `put(item)`.
fn item<'a>(py: Python<'_>, args: Args<'a>, function: &str) -> Outcome<&'a Object> {
    if let ([item], false) = (args.positional(), args.has_keywords()) {
        return Ok(item);
    }
    let [item] = args.parse(&Parameters {
        function,
        names: [names::item(py)],
        positional: 1,
        required: 1,
    })?;
    item.ok_or_else(attribute_without_value)
}

fn waits(builder: Builder<Queue>) -> Builder<Queue> {
    builder
        .method(
            c"put",
            c"put($self, /, item)\n--\n\nPut an item in; wait while the queue is full.",
            |py, this, args| {
                if this.shape(py).is_foreign() {
                    return delegate_all(py, this, "put", &args);
                }
                let item = item(py, args, "put")?.share();
                Ok(op::new(py, &PUT, Some(this.object().share()), Some(item))?.erase())
            },
        )
        .coroutine()
        .method(
            c"put_nowait",
            c"put_nowait($self, /, item)\n--\n\nPut an item in; QueueFull when there is no room.",
            |py, this, args| {
                if this.shape(py).is_foreign() {
                    return delegate_all(py, this, "put_nowait", &args);
                }
                this.put_nowait(py, item(py, args, "put_nowait")?)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"get",
            c"get($self, /)\n--\n\nTake the next item; wait while there is none.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "get", &[]);
                }
                Ok(op::new(py, &GET, Some(this.object().share()), None)?.erase())
            },
        )
        .coroutine()
        .plain(
            c"get_nowait",
            c"get_nowait($self, /)\n--\n\nTake the next item; QueueEmpty when there is none.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "get_nowait", &[]);
                }
                this.get_nowait(py)
            },
        )
        .plain(
            c"join",
            c"join($self, /)\n--\n\nWait until every item that was put in is reported done.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "join", &[]);
                }
                Ok(op::new(py, &JOIN, Some(this.object().share()), None)?.erase())
            },
        )
        .coroutine()
}

fn sizes(builder: Builder<Queue>) -> Builder<Queue> {
    builder
        .plain(
            c"qsize",
            c"qsize($self, /)\n--\n\nReturn how many items there are.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "qsize", &[]);
                }
                let Ok(size) = this.size(py)?.into_pyobject(py);
                Ok(object(&size).share())
            },
        )
        .plain(
            c"empty",
            c"empty($self, /)\n--\n\nReturn True if there are none.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "empty", &[]);
                }
                this.holds_nothing(py).map(Ref::boolean)
            },
        )
        .plain(
            c"full",
            c"full($self, /)\n--\n\nReturn True if there is no room for another.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "full", &[]);
                }
                this.has_no_room(py).map(Ref::boolean)
            },
        )
        .getter(
            c"maxsize",
            c"How many items there may be; no limit if it is 0 or less.",
            |py, this| Ok(limit_of(py, this)),
        )
        .plain(c"_format", c"_format($self, /)\n--\n\n", |py, this| {
            if this.shape(py).is_foreign() {
                return delegate(py, this, "_format", &[]);
            }
            let text = described(py, this)?;
            Ok(object(&pyo3::types::PyString::new(py, &text)).share())
        })
}

fn limit_of(py: Python<'_>, this: &Instance<Queue>) -> Ref {
    this.limit.share().unwrap_or_else(|| {
        let Ok(none) = 0_i64.into_pyobject(py);
        object(&none).share()
    })
}

/// What a repr says of it.
fn described(py: Python<'_>, this: &Instance<Queue>) -> Outcome<String> {
    let mut text = format!("maxsize={}", limit_of(py, this).bind(py).repr()?);
    if this.items.len(py)? > 0 {
        text.push_str(" _queue=");
        text.push_str(&this.items.listed(py)?.bind(py).repr()?.to_string());
    }
    let mut parts = Vec::new();
    for (name, line) in [("_getters", &this.getters), ("_putters", &this.putters)] {
        let waiting = line.len(py)?;
        if waiting > 0 {
            parts.push(format!(" {name}[{waiting}]"));
        }
    }
    if this.unfinished.get() != 0 {
        parts.push(format!(" tasks={}", this.unfinished.get()));
    }
    if this.is_shut_down.get() {
        parts.push(" shutdown".to_owned());
    }
    Ok(text + &parts.concat())
}

fn ends(builder: Builder<Queue>) -> Builder<Queue> {
    let builder = builder.plain(
        c"task_done",
        c"task_done($self, /)\n--\n\nReport an item done that was taken.",
        |py, this| {
            if this.shape(py).is_foreign() {
                return delegate(py, this, "task_done", &[]);
            }
            this.task_done(py)?;
            Ok(Ref::none())
        },
    );
    #[cfg(Py_3_13)]
    let builder = builder.method(
        c"shutdown",
        c"shutdown($self, /, immediate=False)\n--\n\nLet nobody put any more, nor get once it is empty; at once if immediate.",
        |py, this, args| {
            if this.shape(py).is_foreign() {
                return delegate_all(py, this, "shutdown", &args);
            }
            let [immediate] = args.parse(&Parameters {
                function: "shutdown",
                names: [names::immediate(py)],
                positional: 1,
                required: 0,
            })?;
            let immediate = immediate.map_or(Ok(false), |value| is_true(py, value))?;
            this.shut_down(py, immediate)?;
            Ok(Ref::none())
        },
    );
    builder
}

fn lines(builder: Builder<Queue>) -> Builder<Queue> {
    let builder = kept!(builder, c"_loop", c"The loop it is bound to.", bound);
    let builder = waiters!(builder, c"_getters", c"Who waits for items.", getters.shown);
    let builder = waiters!(builder, c"_putters", c"Who waits for room.", putters.shown);
    builder.property(
        c"_queue",
        c"The items.",
        |py, this| {
            this.must_have_items(py)?;
            this.items.shown(py)
        },
        |py, this, value| {
            this.items.open_as(order(py, this)?, value);
            Ok(())
        },
    )
}

fn counts(builder: Builder<Queue>) -> Builder<Queue> {
    builder
        .property(
            c"_maxsize",
            c"How many items there may be.",
            |py, this| Ok(limit_of(py, this)),
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.most.set(value.bind(py).extract().unwrap_or(0));
                this.limit.set(value.share());
                Ok(())
            },
        )
        .property(
            c"_unfinished_tasks",
            c"How many items are not reported done.",
            |py, this| {
                let Ok(count) = this.unfinished.get().into_pyobject(py);
                Ok(object(&count).share())
            },
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.unfinished.set(value.bind(py).extract()?);
                Ok(())
            },
        )
        .property(
            c"_finished",
            c"The event that join() waits for.",
            |py, this| this.finished_event(py),
            |_, this, value| {
                drop(this.finished.replace(value.map(Object::share)));
                Ok(())
            },
        )
        .property(
            c"_is_shutdown",
            c"Whether it was shut down.",
            |_, this| Ok(Ref::boolean(this.is_shut_down.get())),
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.is_shut_down.set(is_true(py, value)?);
                Ok(())
            },
        )
}
