//! Which IP addresses are internal: not for a function to reach unless its app's policy names them.
//!
//! An address that carries an IPv4 address (mapped, NAT64, 6to4) counts as that one: a gateway may send it there.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and later), and the cloud providers'
//! documentation for the addresses of their metadata services.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Why an address is internal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Internal {
    Loopback,
    Private,
    /// Carrier-grade NAT, RFC 6598.
    Shared,
    LinkLocal,
    /// Hands out credentials to whoever asks from the right machine.
    Metadata,
    Unspecified,
    Multicast,
    /// Documentation, benchmarks, protocols; nothing a function has business with.
    Reserved,
}

impl Internal {
    /// Whether naming a host is enough to reach such an address through its name. The others must be named by
    /// address, as nothing that is served under a name has them.
    pub(crate) fn may_have_a_name(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Shared => true,
            Self::LinkLocal
            | Self::Metadata
            | Self::Unspecified
            | Self::Multicast
            | Self::Reserved => false,
        }
    }
}

impl fmt::Display for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "an address of a carrier's network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a metadata service",
            Self::Unspecified => "the unspecified address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// `None` for an address of the public internet.
pub(crate) fn internal(address: IpAddr) -> Option<Internal> {
    match address {
        IpAddr::V4(address) => internal_v4(address),
        IpAddr::V6(address) => internal_v6(address),
    }
}

fn internal_v4(address: Ipv4Addr) -> Option<Internal> {
    match address.octets() {
        // AWS, Azure, GCP, …; Azure's other one; Alibaba.
        [169, 254, 169, 254] | [168, 63, 129, 16] | [100, 100, 100, 200] => {
            Some(Internal::Metadata)
        }
        [0, ..] => Some(Internal::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Internal::Private),
        [100, 64..=127, ..] => Some(Internal::Shared),
        [127, ..] => Some(Internal::Loopback),
        [169, 254, ..] => Some(Internal::LinkLocal),
        // Protocols; documentation; the 6to4 relay; benchmarks; documentation.
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some(Internal::Reserved),
        [224..=239, ..] => Some(Internal::Multicast),
        [240..=255, ..] => Some(Internal::Reserved),
        _ => None,
    }
}

fn internal_v6(address: Ipv6Addr) -> Option<Internal> {
    if let Some(carried) = carried_v4(address) {
        return internal_v4(carried);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Internal::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Internal::Loopback),
        // AWS, GCP.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            Some(Internal::Metadata)
        }
        // Unique local, and the site-local addresses that it replaced.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some(Internal::Private),
        [0xfe80..=0xfebf, ..] => Some(Internal::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Internal::Multicast),
        // Teredo and other protocols; documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            Some(Internal::Reserved)
        }
        [0x2000..=0x3fff, ..] => None,
        // All that is not yet given out, the local NAT64 prefix, IPv4-compatible addresses.
        _ => Some(Internal::Reserved),
    }
}

/// The IPv4 address inside `::ffff:a.b.c.d`, `64:ff9b::a.b.c.d` (NAT64) or `2002:aabb:ccdd::` (6to4).
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let carried = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => (high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(carried.0) << 16 | u32::from(carried.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: an address, then what it is.
    const TABLE: &str = "
        1.1.1.1 public
        8.8.8.8 public
        93.184.216.34 public
        172.15.255.255 public
        172.32.0.0 public
        100.63.255.255 public
        100.128.0.0 public
        169.253.255.255 public
        223.255.255.255 public
        0.0.0.0 Unspecified
        0.1.2.3 Unspecified
        10.0.0.1 Private
        10.255.255.255 Private
        172.16.0.0 Private
        172.31.255.255 Private
        192.168.1.1 Private
        100.64.0.0 Shared
        100.127.255.255 Shared
        127.0.0.1 Loopback
        127.255.255.255 Loopback
        169.254.0.1 LinkLocal
        169.254.170.2 LinkLocal
        169.254.169.254 Metadata
        168.63.129.16 Metadata
        100.100.100.200 Metadata
        192.0.0.8 Reserved
        192.0.2.1 Reserved
        192.88.99.1 Reserved
        198.18.0.1 Reserved
        198.51.100.7 Reserved
        203.0.113.7 Reserved
        224.0.0.1 Multicast
        239.255.255.255 Multicast
        240.0.0.1 Reserved
        255.255.255.255 Reserved
        2606:4700:4700::1111 public
        2a00:1450:4001::1 public
        :: Unspecified
        ::1 Loopback
        ::7f00:1 Reserved
        fc00::1 Private
        fd12:3456::1 Private
        fd00:ec2::254 Metadata
        fd20:ce::254 Metadata
        fe80::1 LinkLocal
        febf::1 LinkLocal
        fec0::1 Private
        ff02::1 Multicast
        2001:db8::1 Reserved
        3fff::1 Reserved
        2001::1 Reserved
        100::1 Reserved
        64:ff9b:1::1 Reserved
        4000::1 Reserved
        ::ffff:127.0.0.1 Loopback
        ::ffff:169.254.169.254 Metadata
        ::ffff:8.8.8.8 public
        64:ff9b::10.0.0.1 Private
        64:ff9b::8.8.8.8 public
        2002:7f00:1:: Loopback
        2002:c0a8:101::5 Private
        2002:a9fe:a9fe:: Metadata
        2002:808:808:: public
    ";

    #[test]
    fn addresses_are_told_apart() {
        for line in TABLE.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (address, expected) = line.split_once(' ').unwrap();
            let found = internal(address.parse().unwrap());
            let found = found.map_or("public".to_owned(), |found| format!("{found:?}"));
            assert_eq!(found, expected, "{address}");
        }
    }
}
