//! Addresses that need no look-up: what `getaddrinfo` answers to a numeric host, at once.
//!
//! Its own room because the answer has to be the C library's, entry by entry. Whatever is not
//! plain is left to the C library: octal quads, zones, service names, flags. It asks nobody.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use conbrio_driver::sys::address::family_of;

const AF_UNSPEC: i32 = 0;
const SOCK_STREAM: i32 = 1;
const SOCK_DGRAM: i32 = 2;
const SOCK_RAW: i32 = 3;
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_UDP: i32 = 17;
/// `AI_PASSIVE`, `AI_NUMERICHOST` and `AI_NUMERICSERV` change nothing for a numeric host.
const HARMLESS_FLAGS: i32 = 0x1 | 0x4 | 0x400;

/// What a program asks `getaddrinfo` to keep to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Address family.
    pub family: i32,
    /// Socket type.
    pub kind: i32,
    /// Protocol.
    pub protocol: i32,
    /// `AI_…`
    pub flags: i32,
}

/// One entry of the answer; its canonical name is always empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Address family.
    pub family: i32,
    /// Socket type.
    pub kind: i32,
    /// Protocol.
    pub protocol: i32,
    /// The address; of an IPv6 one, flow and scope are 0.
    pub address: Address,
}

/// Host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host.
    pub host: IpAddr,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Writes the host as the C library's `inet_ntop` does.
    pub fn host_text(&self) -> String {
        match self.host {
            IpAddr::V4(host) => host.to_string(),
            IpAddr::V6(host) => text(host),
        }
    }
}

/// Answers for a numeric `host`; `None` leaves the question to the C library.
///
/// A `port` that was not given is 0, as in the C library's answer.
pub fn literal(host: &str, port: u16, hints: Hints) -> Option<Vec<Info>> {
    if hints.flags & !HARMLESS_FLAGS != 0 {
        return None;
    }
    let host: IpAddr = host.parse().ok()?;
    let family = family_of(&host);
    if hints.family != AF_UNSPEC && hints.family != family {
        return None;
    }
    let address = Address { host, port };
    let info = |&(kind, protocol)| Info {
        family,
        kind,
        protocol,
        address,
    };
    Some(
        kinds(hints.kind, hints.protocol)?
            .iter()
            .map(info)
            .collect(),
    )
}

/// Says which types and protocols the C library lists, in its order.
fn kinds(kind: i32, protocol: i32) -> Option<&'static [(i32, i32)]> {
    match (kind, protocol) {
        (0, IPPROTO_IP) => Some(&[
            (SOCK_STREAM, IPPROTO_TCP),
            (SOCK_DGRAM, IPPROTO_UDP),
            (SOCK_RAW, IPPROTO_IP),
        ]),
        (SOCK_STREAM, IPPROTO_IP | IPPROTO_TCP) | (0, IPPROTO_TCP) => {
            Some(&[(SOCK_STREAM, IPPROTO_TCP)])
        }
        (SOCK_DGRAM, IPPROTO_IP | IPPROTO_UDP) | (0, IPPROTO_UDP) => {
            Some(&[(SOCK_DGRAM, IPPROTO_UDP)])
        }
        _ => None,
    }
}

/// Writes an IPv6 address; the C library shows more of them with a dotted end than Rust does.
fn text(host: Ipv6Addr) -> String {
    let [start @ .., second_last, _] = host.segments();
    let mut text = host.to_string();
    if start == [0; 6] && second_last != 0 {
        text.clear();
        let [.., one, two, three, four] = host.octets();
        // A string takes whatever is written into it.
        let _ = write!(text, "::{one}.{two}.{three}.{four}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Hints, Info, literal};

    type Line = (i32, i32, i32);

    fn kinds(host: &str, hints: Hints) -> Option<Vec<Line>> {
        let line = |info: &Info| (info.family, info.kind, info.protocol);
        literal(host, 80, hints).map(|infos| infos.iter().map(line).collect())
    }

    fn host_text(host: &str) -> Option<String> {
        literal(host, 0, Hints::default())?
            .first()
            .map(|info| info.address.host_text())
    }

    #[test]
    fn without_hints_there_are_three_entries() {
        let all = Hints::default();
        assert_eq!(
            kinds("127.0.0.1", all).unwrap(),
            [(2, 1, 6), (2, 2, 17), (2, 3, 0)]
        );
        assert_eq!(
            kinds("::1", all).unwrap(),
            [(10, 1, 6), (10, 2, 17), (10, 3, 0)]
        );
    }

    #[test]
    fn hints_choose_one() {
        let stream = Hints {
            kind: 1,
            flags: 1,
            ..Hints::default()
        };
        assert_eq!(kinds("::1", stream).unwrap(), [(10, 1, 6)]);
        let udp = Hints {
            protocol: 17,
            family: 2,
            ..Hints::default()
        };
        assert_eq!(kinds("1.2.3.4", udp).unwrap(), [(2, 2, 17)]);
    }

    #[test]
    fn what_is_not_plain_is_left() {
        let plain = Hints::default();
        for host in [
            "",
            "localhost",
            "127.1",
            "127.0.0.01",
            "fe80::1%lo",
            "fe80::1%1",
            "[::1]",
        ] {
            assert_eq!(kinds(host, plain), None, "{host}");
        }
        assert_eq!(kinds("::1", Hints { family: 2, ..plain }), None);
        assert_eq!(kinds("1.2.3.4", Hints { flags: 2, ..plain }), None);
        assert_eq!(
            kinds(
                "1.2.3.4",
                Hints {
                    flags: 0x20,
                    ..plain
                }
            ),
            None
        );
        assert_eq!(
            kinds(
                "1.2.3.4",
                Hints {
                    kind: 1,
                    protocol: 17,
                    ..plain
                }
            ),
            None
        );
        assert_eq!(kinds("1.2.3.4", Hints { kind: 3, ..plain }), None);
    }

    #[test]
    fn hosts_are_written_as_the_c_library_does() {
        for (host, wanted) in [
            ("001::0", "1::"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
            ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
            ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
            ("::1.2.3.4", "::1.2.3.4"),
            ("::1:0", "::0.1.0.0"),
            ("::8", "::8"),
            ("::", "::"),
        ] {
            assert_eq!(host_text(host).unwrap(), wanted, "{host}");
        }
    }
}
