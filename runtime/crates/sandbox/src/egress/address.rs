//! Which addresses may be dialled. Pure: tables and bit patterns, no network. Names never matter here, only the address itself.
//!
//! The tables are the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its successors), read strictly: an entry that
//! no HTTP service lives in is refused even where the registry calls it globally reachable. Addresses that carry an IPv4
//! address inside (mapped, NAT64, 6to4, Teredo, ISATAP …) are judged by what they carry as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where an address lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Global unicast: the public internet.
    Global,
    /// Special; the operator may exempt it.
    Special(&'static str),
    /// A metadata service of a cloud, or an address that leads to one. Nobody can exempt it.
    Metadata,
}

/// Why an address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub address: IpAddr,
    pub class: Class,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address;
        match self.class {
            Class::Metadata => {
                write!(
                    f,
                    "{address} leads to a cloud's metadata service, which hands out credentials; it can never be reached, whatever is granted"
                )
            }
            Class::Special(reason) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                write!(
                    f,
                    "{address} is {reason}, and plugins may reach public addresses only. \
                     If it is meant, the operator can start the server with --egress-allow {address}/{bits}"
                )
            }
            Class::Global => write!(f, "{address} is public"),
        }
    }
}

/// The floor, with the operator's exemptions (`--egress-allow CIDR`).
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    exempt: Vec<IpNet>,
}

impl AddressPolicy {
    pub fn new(exempt: impl IntoIterator<Item = IpNet>) -> Self {
        Self { exempt: exempt.into_iter().map(canonical_net).collect() }
    }

    /// Judges an address in the form in which it would be dialled: an IPv4-mapped one *is* its IPv4 address to the kernel.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        match classify(address) {
            Class::Global => Ok(()),
            Class::Special(_) if self.exempt.iter().any(|net| net.contains(&address)) => Ok(()),
            class => Err(Refusal { address, class }),
        }
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn canonical_net(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) => v6
            .addr()
            .to_ipv4_mapped()
            .zip(v6.prefix_len().checked_sub(96))
            .and_then(|(v4, bits)| Ipv4Net::new(v4, bits).ok())
            .map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    }
}

/// Says where an address lies.
pub fn classify(address: IpAddr) -> Class {
    match address.to_canonical() {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// How much of a range is a cloud's metadata service, which no exemption opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    None,
    Part,
    Whole,
}

/// Says how much of `range` is a metadata service. Of IPv6 addresses that carry an IPv4 address only whole ranges are found.
pub fn metadata_in(range: &IpNet) -> Overlap {
    let range = canonical_net(*range);
    // The blocks are aligned, and no two of them are neighbours of one size: what lies in them at both ends lies in them whole.
    if [range.network(), range.broadcast()].into_iter().all(|end| classify(end) == Class::Metadata) {
        return Overlap::Whole;
    }
    let holds = match range {
        IpNet::V4(range) => METADATA_V4.iter().any(|net| range.contains(net)),
        IpNet::V6(range) => METADATA_V6.iter().any(|address| range.contains(address)),
    };
    if holds { Overlap::Part } else { Overlap::None }
}

fn classify_v4(address: Ipv4Addr) -> Class {
    if METADATA_V4.iter().any(|net| net.contains(&address)) {
        return Class::Metadata;
    }
    SPECIAL_V4
        .iter()
        .find(|(net, _)| net.contains(&address))
        .map_or(Class::Global, |(_, reason)| Class::Special(reason))
}

fn classify_v6(address: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&address) {
        return Class::Metadata;
    }
    let carried = carried(address);
    if carried.iter().flatten().any(|v4| classify_v4(*v4) == Class::Metadata) {
        return Class::Metadata;
    }
    if let Some((_, reason)) = SPECIAL_V6.iter().find(|(net, _)| net.contains(&address)) {
        return Class::Special(reason);
    }
    // On an IPv6-only network every IPv4 destination is reached through this prefix: it is as public as what it carries.
    if NAT64.contains(&address) {
        return match carried.iter().flatten().find_map(|v4| (classify_v4(*v4) != Class::Global).then_some(())) {
            None => Class::Global,
            Some(()) => Class::Special("a translated (NAT64) IPv4 address that is not public"),
        };
    }
    if !GLOBAL_UNICAST.contains(&address) {
        return Class::Special("outside the IPv6 space that is allocated as global unicast");
    }
    if carried.iter().flatten().any(|v4| classify_v4(*v4) != Class::Global) {
        return Class::Special("a tunnel address (ISATAP) that leads to an IPv4 address that is not public");
    }
    Class::Global
}

/// The IPv4 addresses that an IPv6 address may lead to, if something on the way translates or tunnels.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let bytes = address.octets();
    let at = |start: usize| -> Option<Ipv4Addr> {
        let four: [u8; 4] = bytes.get(start..start + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(four))
    };
    // Four bytes of which byte 8 is skipped.
    let around_8 = |start: usize| -> Option<Ipv4Addr> {
        let five: [u8; 5] = bytes.get(start..start + 5)?.try_into().ok()?;
        let mut kept = five.into_iter().enumerate().filter(|(at, _)| start + at != 8).map(|(_, byte)| byte);
        Some(Ipv4Addr::new(kept.next()?, kept.next()?, kept.next()?, kept.next()?))
    };
    match address.segments() {
        // Local-use NAT64 (RFC 8215): whoever runs the translator chooses the prefix length, and with it where the address lies, around
        // byte 8 which stays free (RFC 6052 §2.2): /48, /56, /64, /96.
        [0x64, 0xff9b, 1, ..] => [around_8(6), around_8(7), at(9), at(12)],
        // 6to4 (RFC 3056).
        [0x2002, ..] => [at(2), None, None, None],
        // Teredo (RFC 4380): the server, and the client with its bits inverted.
        [0x2001, 0, ..] => [at(4), at(12).map(|client| Ipv4Addr::from_bits(!client.to_bits())), None, None],
        // IPv4-compatible (::a.b.c.d, RFC 4291), IPv4-translated (::ffff:0:a.b.c.d, RFC 2765), NAT64 with the well-known prefix (RFC 6052),
        // ISATAP (RFC 5214: an interface identifier of 0000:5efe or 0200:5efe, then the address).
        [0, 0, 0, 0, 0 | 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => {
            [at(12), None, None, None]
        }
        _ => [None, None, None, None],
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(address: Ipv6Addr, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, bits)
}

const GLOBAL_UNICAST: Ipv6Net = v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const NAT64: Ipv6Net = v6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Where clouds put credentials. Whole /24s of link-local where several services share one.
const METADATA_V4: &[Ipv4Net] = &[
    v4(169, 254, 169, 0, 24), // AWS, Google Cloud, Azure, Oracle, DigitalOcean, Hetzner, OpenStack …: 169.254.169.254 and neighbours
    v4(169, 254, 170, 0, 24), // AWS: credentials of containers (.2) and pods (.23)
    v4(169, 254, 0, 23, 32),  // Tencent Cloud
    v4(169, 254, 42, 42, 32), // Scaleway
    v4(100, 100, 100, 200, 32), // Alibaba Cloud
    v4(168, 63, 129, 16, 32), // Azure's host agent; the address is otherwise a public one
    v4(192, 0, 0, 192, 32),   // Oracle Cloud, older
];

const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),   // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),    // AWS: credentials of pods
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),    // Google Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),     // Scaleway
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // OpenStack
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // DigitalOcean and others who embed the IPv4 one
];

const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "\"this network\" (0.0.0.0/8, RFC 791)"),
    (v4(10, 0, 0, 0, 8), "private (10.0.0.0/8, RFC 1918)"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier's customers (100.64.0.0/10, RFC 6598)"),
    (v4(127, 0, 0, 0, 8), "this machine (127.0.0.0/8, RFC 1122)"),
    (v4(169, 254, 0, 0, 16), "link-local (169.254.0.0/16, RFC 3927)"),
    (v4(172, 16, 0, 0, 12), "private (172.16.0.0/12, RFC 1918)"),
    (v4(192, 0, 0, 0, 24), "reserved for protocols (192.0.0.0/24, RFC 6890)"),
    (v4(192, 0, 2, 0, 24), "for documentation (192.0.2.0/24, RFC 5737)"),
    (v4(192, 31, 196, 0, 24), "a sink for DNS (192.31.196.0/24, RFC 7535)"),
    (v4(192, 52, 193, 0, 24), "for multicast tunnels (192.52.193.0/24, RFC 7450)"),
    (v4(192, 88, 99, 0, 24), "a former 6to4 relay (192.88.99.0/24, RFC 7526)"),
    (v4(192, 168, 0, 0, 16), "private (192.168.0.0/16, RFC 1918)"),
    (v4(192, 175, 48, 0, 24), "a sink for DNS (192.175.48.0/24, RFC 7534)"),
    (v4(198, 18, 0, 0, 15), "for benchmarks (198.18.0.0/15, RFC 2544)"),
    (v4(198, 51, 100, 0, 24), "for documentation (198.51.100.0/24, RFC 5737)"),
    (v4(203, 0, 113, 0, 24), "for documentation (203.0.113.0/24, RFC 5737)"),
    (v4(224, 0, 0, 0, 4), "multicast (224.0.0.0/4, RFC 5771)"),
    (v4(240, 0, 0, 0, 4), "reserved or broadcast (240.0.0.0/4, RFC 1112)"),
];

const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (v6(Ipv6Addr::UNSPECIFIED, 128), "unspecified (::, RFC 4291)"),
    (v6(Ipv6Addr::LOCALHOST, 128), "this machine (::1, RFC 4291)"),
    (v6(Ipv6Addr::UNSPECIFIED, 96), "IPv4-compatible (::/96, RFC 4291)"),
    (v6(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), "IPv4-translated (::ffff:0:0:0/96, RFC 2765)"),
    (
        v6(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
        "translated within this network (64:ff9b:1::/48, RFC 8215)",
    ),
    (v6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64), "discarded (100::/64, RFC 6666)"),
    (v6(Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64), "a dummy (100:0:0:1::/64, RFC 9780)"),
    (v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32), "a Teredo tunnel (2001::/32, RFC 4380)"),
    (v6(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48), "for benchmarks (2001:2::/48, RFC 5180)"),
    (v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), "reserved for protocols (2001::/23, RFC 2928)"),
    (v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), "for documentation (2001:db8::/32, RFC 3849)"),
    (v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), "a 6to4 tunnel (2002::/16, RFC 7526)"),
    (v6(Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), "a sink for DNS (2620:4f:8000::/48, RFC 7534)"),
    (v6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), "for documentation (3fff::/20, RFC 9637)"),
    (v6(Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), "a former test network (3ffe::/16, RFC 3701)"),
    (v6(Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16), "for segment routing (5f00::/16, RFC 9602)"),
    (v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), "private (fc00::/7, RFC 4193)"),
    (v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), "link-local (fe80::/10, RFC 4291)"),
    (v6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10), "site-local (fec0::/10, RFC 3879)"),
    (v6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), "multicast (ff00::/8, RFC 4291)"),
];

#[cfg(test)]
mod tests;
