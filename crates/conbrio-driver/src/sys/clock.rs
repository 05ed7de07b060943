//! The monotonic clock, in the very numbers that `time.monotonic()` gives.

/// How far [`monotonic_coarse`] may be behind, in seconds: ten times the longest tick of a Linux.
pub const TICK: f64 = 0.1;

/// Reads the monotonic clock, in seconds.
#[inline]
pub fn monotonic() -> f64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Reads the monotonic clock as of the system's last tick, in seconds: up to [`TICK`] behind, never ahead.
#[inline]
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn monotonic_coarse() -> f64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Reads the monotonic clock where there is no cheaper one.
#[inline]
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn monotonic_coarse() -> f64 {
    monotonic()
}

#[inline]
fn read(clock: libc::clockid_t) -> f64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a writable timespec that outlives the call; the clocks asked for always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    seconds(now.tv_sec, now.tv_nsec)
}

/// Counts what the processor counts at a steady pace: one instruction, where a clock would take dozens.
///
/// Where there is no such counter it stands still.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the counter.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads the virtual counter, which is open to programs.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack));
        }
        ticks
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

/// How many ticks a second has; on x86-64, where nobody says, how many it has about.
#[inline]
pub fn tick_rate() -> u64 {
    #[cfg(not(target_arch = "aarch64"))]
    return 3_000_000_000;
    #[cfg(target_arch = "aarch64")]
    {
        let rate: u64;
        // SAFETY: reads the counter's frequency, which is open to programs.
        unsafe {
            core::arch::asm!("mrs {}, cntfrq_el0", out(reg) rate, options(nomem, nostack));
        }
        rate
    }
}

/// Converts as `PyTime_AsSecondsDouble` does.
#[inline]
#[expect(
    clippy::cast_precision_loss,
    reason = "CPython rounds at the same place"
)]
fn seconds(whole: i64, nanos: i64) -> f64 {
    if nanos == 0 {
        return whole as f64;
    }
    // CPython: one rounding of the nanoseconds, then a division; a product would round twice.
    (whole * 1_000_000_000 + nanos) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TICK, monotonic, monotonic_coarse, seconds, tick_rate, ticks};

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_processor_counts_about_as_fast_as_it_says() {
        let (began, first) = (monotonic(), ticks());
        while monotonic() < began + 0.01 {}
        let counted = u128::from((ticks() - first) / (tick_rate() / 1_000_000));
        let passed = Duration::from_secs_f64(monotonic() - began).as_micros();
        assert!(
            (passed / 4..passed * 4).contains(&counted),
            "{counted} of {passed} us"
        );
    }

    #[test]
    fn the_coarse_clock_is_a_tick_behind_at_most() {
        for _ in 0..100 {
            let (before, coarse, after) = (monotonic(), monotonic_coarse(), monotonic());
            assert!(coarse <= after);
            assert!(coarse > before - TICK);
        }
    }

    #[test]
    fn it_never_goes_back() {
        let first = monotonic();
        assert!(first > 0.0);
        assert!(monotonic() >= first);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the bits are the promise")]
    fn it_rounds_as_cpython_does() {
        assert_eq!(seconds(3, 0), 3.0);
        assert_eq!(seconds(12_345, 678_901_234), 12_345.678_901_234);
    }
}
