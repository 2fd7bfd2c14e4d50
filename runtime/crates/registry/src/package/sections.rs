//! WebAssembly's outer shape: a header, then sections of (id, length, bytes). Enough to find, add and remove custom sections without
//! touching anything else. Validity is somebody else's question.

use std::ops::Range;

/// The id of a custom section, in modules and components alike.
const CUSTOM: u8 = 0;
/// In a component: a core module, and a component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// How deep modules lie in components. Toolchains nest one or two; validators of today stop far below a hundred.
const DEPTH_MAX: usize = 16;

const HEADER_LEN: usize = 8;

/// What kind of WebAssembly binary a file is, by its first eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Component,
    /// WebAssembly by its first four bytes, in a version nobody knows.
    Unknown,
}

/// Reads the header; `None` if this is no WebAssembly binary.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    let version = bytes.strip_prefix(b"\0asm")?;
    Some(match version.get(..4) {
        Some([1, 0, 0, 0]) => Kind::Module,
        Some([13, 0, 1, 0]) => Kind::Component,
        _ => Kind::Unknown,
    })
}

/// The sections do not add up: a length reaches beyond the end, or is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) offset: usize,
}

/// One section of a module or component.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    id: u8,
    payload: &'a [u8],
    /// The whole section in its file, with id and length.
    whole: &'a [u8],
}

impl<'a> Section<'a> {
    /// Name and data, if it is a custom section.
    pub(crate) fn custom(&self) -> Option<(&'a str, &'a [u8])> {
        if self.id != CUSTOM {
            return None;
        }
        let (len, at) = leb(self.payload, 0)?;
        let name = self.payload.get(at..at.checked_add(len)?)?;
        Some((std::str::from_utf8(name).ok()?, self.payload.get(at + len..)?))
    }
}

/// Splits a module or component into its sections.
pub(crate) fn split(bytes: &[u8]) -> Result<Vec<Section<'_>>, Broken> {
    let mut sections = Vec::new();
    let mut offset = HEADER_LEN;
    while offset < bytes.len() {
        let (id, range) = next(bytes, offset).ok_or(Broken { offset })?;
        let end = range.end;
        let (Some(payload), Some(whole)) = (bytes.get(range), bytes.get(offset..end)) else {
            return Err(Broken { offset });
        };
        sections.push(Section { id, payload, whole });
        offset = end;
    }
    Ok(sections)
}

fn next(bytes: &[u8], offset: usize) -> Option<(u8, Range<usize>)> {
    let id = *bytes.get(offset)?;
    let (len, start) = leb(bytes, offset + 1)?;
    Some((id, start..start.checked_add(len)?))
}

/// Removes every custom section called `name`, at any depth; returns the rest and what they held, in the order of the file.
pub(crate) fn take_custom(bytes: &[u8], name: &str) -> Result<(Vec<u8>, Vec<Vec<u8>>), Broken> {
    let mut taken = Vec::new();
    let rest = take(bytes, name, &mut taken, DEPTH_MAX)?;
    Ok((rest, taken))
}

fn take(bytes: &[u8], name: &str, taken: &mut Vec<Vec<u8>>, depth: usize) -> Result<Vec<u8>, Broken> {
    let is_component = kind(bytes) == Some(Kind::Component);
    let mut rest = bytes.get(..HEADER_LEN).ok_or(Broken { offset: bytes.len() })?.to_vec();
    for section in split(bytes)? {
        match section.custom() {
            Some((found, data)) if found == name => taken.push(data.to_vec()),
            _ if is_component && matches!(section.id, CORE_MODULE | COMPONENT) && depth > 0 => {
                let inner = take(section.payload, name, taken, depth - 1)?;
                push_section(&mut rest, section.id, &inner);
            }
            _ => rest.extend_from_slice(section.whole),
        }
    }
    Ok(rest)
}

/// Appends a custom section.
pub(crate) fn push_custom(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut payload = Vec::with_capacity(name.len() + data.len() + 5);
    push_leb(&mut payload, name.len());
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(data);
    push_section(bytes, CUSTOM, &payload);
}

fn push_section(bytes: &mut Vec<u8>, id: u8, payload: &[u8]) {
    bytes.push(id);
    push_leb(bytes, payload.len());
    bytes.extend_from_slice(payload);
}

/// An unsigned LEB128 number of at most 32 bits and the offset behind it.
fn leb(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.get(start..)?.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, start + index + 1));
        }
    }
    None
}

fn push_leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_section_put_in_comes_out_and_leaves_no_trace() {
        for len in [0, 1, 127, 128, 20_000] {
            let mut module = MODULE.to_vec();
            push_custom(&mut module, "other", b"stays");
            let before = module.clone();
            push_custom(&mut module, "mine", &vec![7; len]);
            let (rest, taken) = take_custom(&module, "mine").expect("whole");
            assert_eq!((rest, taken), (before, vec![vec![7; len]]));
        }
    }

    #[test]
    fn sections_are_found_in_the_modules_of_a_component() {
        let mut module = MODULE.to_vec();
        push_custom(&mut module, "mine", b"x");
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        push_section(&mut component, CORE_MODULE, &module);
        let (rest, taken) = take_custom(&component, "mine").expect("whole");
        assert_eq!(taken, [b"x"]);
        assert_eq!(rest, [b"\0asm\x0d\0\x01\0".as_slice(), &[CORE_MODULE, 8], MODULE].concat());
    }

    #[test]
    fn a_length_beyond_the_end_is_broken() {
        for tail in [&[0_u8][..], &[0, 5], &[0, 0xff, 0xff, 0xff, 0xff, 0xff], &[0, 0x80, 0x80, 0x80, 0x80, 0x10]] {
            let bytes = [MODULE, tail].concat();
            assert_eq!(split(&bytes).map(|_| ()), Err(Broken { offset: 8 }), "{tail:?}");
        }
        assert!(take_custom(b"\0asm", "x").is_err());
    }
}
