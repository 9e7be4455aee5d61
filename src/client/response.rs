//! The object behind INFORMATIONAL, HEADERS, TRAILERS and RESPONSE events: a head in one block, and the body behind it
//! when the request asked for one event.
//!
//! The tail of the object is laid out as `field table | head bytes | body`.

use crate::mem::{Obj, Object, Pool};
use crate::pool::Reason;
use crate::proto::tls::{self, Agreed};
use crate::proto::{Field, Fields, Head, Version};
use std::net::SocketAddr;

/// When things happened, in nanoseconds since submit; 0 for what did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timing {
    /// A connection was there (idle, or newly made).
    pub connected: u64,
    /// The request, without a streamed body, was handed to the socket.
    pub sent: u64,
    /// The first byte of the final head arrived.
    pub first_byte: u64,
    /// Of the connection's making: name resolved, connection made and secured took this long; 0 on a reused connection.
    pub connect_took: u64,
    /// Of that, the name.
    pub dns_took: u64,
    /// Of that, the TLS handshake.
    pub tls_took: u64,
}

/// Where and how the exchange ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Route {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub reused: bool,
    /// Why the connection was an open one, or a new one.
    pub reason: Reason,
    pub attempt: u32,
    pub tls: Option<Agreed>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub version: Version,
    fields: u32,
    head_len: u32,
    reason: (u32, u32),
    body_len: u64,
    /// What stands in place of a body: what TLS told of the connection.
    told_len: u32,
    pub route: Route,
    pub timing: Timing,
}

impl Object for Response {
    const TAG: u32 = 0x5245_5350;
}

const FIELD: usize = size_of::<Field>();

impl Response {
    fn head_at(&self) -> usize {
        self.fields as usize * FIELD
    }

    pub fn body_at(&self) -> usize {
        self.head_at() + self.head_len as usize
    }

    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    pub fn field_count(&self) -> usize {
        self.fields as usize
    }

    /// Name and value of a field, in the tail of the object.
    pub fn field<'a>(&self, tail: &'a [u8], index: usize) -> Option<(&'a [u8], &'a [u8])> {
        if index >= self.fields as usize {
            return None;
        }
        let number = |k: usize| {
            let at = index * FIELD + k * 4;
            u32::from_ne_bytes(tail[at..at + 4].try_into().expect("four bytes"))
        };
        let field = Field { name: number(0), name_len: number(1), value: number(2), value_len: number(3) };
        let head = &tail[self.head_at()..self.body_at()];
        Some((field.name(head), field.value(head)))
    }

    /// The first value of a field, its name compared without regard to ASCII case.
    pub fn first<'a>(&self, tail: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let mut fields = (0..self.field_count()).filter_map(|i| self.field(tail, i));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn reason<'a>(&self, tail: &'a [u8]) -> &'a [u8] {
        &tail[self.head_at()..][self.reason.0 as usize..][..self.reason.1 as usize]
    }

    /// What TLS told of the connection, of an object that stands for one: at 0 the application protocol, perhaps empty, from
    /// 1 on the certificates.
    pub fn told<'a>(&self, tail: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let mut rest = &tail[self.body_at()..][..self.told_len as usize];
        for _ in 0..index {
            rest = split_told(rest)?.1;
        }
        Some(split_told(rest)?.0)
    }

    pub fn body<'a>(&self, tail: &'a [u8]) -> &'a [u8] {
        &tail[self.body_at()..][..self.body_len as usize]
    }
}

/// Copy a head into an object with room for a body of `body` bytes. `None` if there is no memory.
pub fn from_head(memory: &mut Pool, head: &Head<'_>, body: usize, route: Route) -> Option<Obj<Response>> {
    // The reason phrase is a part of the head's bytes in HTTP/1.1, and empty otherwise.
    let reason = head.reason.as_ptr() as usize;
    let start = head.fields.bytes.as_ptr() as usize;
    let reason_at = if reason >= start && reason + head.reason.len() <= start + head.fields.bytes.len() {
        (reason - start) as u32
    } else {
        0
    };
    let reason = (reason_at, if reason_at == 0 { 0 } else { head.reason.len() as u32 });
    build(memory, head.status, head.version, reason, head.fields, body, route)
}

fn split_told(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = rest.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_ne_bytes(*len) as usize)
}

/// An object that stands for a connection: no head, but all that is known of the way.
pub fn from_connection(
    memory: &mut Pool,
    route: Route,
    timing: Timing,
    told: Option<&tls::Info<'_>>,
) -> Option<Obj<Response>> {
    let mut bytes = Vec::new();
    if let Some(told) = told {
        let chain = told.chain.iter().map(|certificate| certificate.as_ref());
        for part in std::iter::once(told.alpn.unwrap_or_default()).chain(chain) {
            bytes.extend_from_slice(&u32::try_from(part.len()).ok()?.to_ne_bytes());
            bytes.extend_from_slice(part);
        }
    }
    let nothing = Fields { bytes: &[], table: &[] };
    let mut obj = build(memory, 0, Version::Http11, (0, 0), nothing, bytes.len(), route)?;
    let (response, tail) = obj.parts_mut();
    tail[..bytes.len()].copy_from_slice(&bytes);
    response.told_len = u32::try_from(bytes.len()).ok()?;
    response.timing = timing;
    Some(obj)
}

/// Copy a trailer section into an object.
pub fn from_trailers(
    memory: &mut Pool,
    status: u16,
    version: Version,
    fields: Fields<'_>,
    route: Route,
) -> Option<Obj<Response>> {
    build(memory, status, version, (0, 0), fields, 0, route)
}

fn build(
    memory: &mut Pool,
    status: u16,
    version: Version,
    reason: (u32, u32),
    fields: Fields<'_>,
    body: usize,
    route: Route,
) -> Option<Obj<Response>> {
    let table = fields.table.len() * FIELD;
    let tail = table + fields.bytes.len() + body;
    let response = Response {
        status,
        version,
        fields: fields.table.len() as u32,
        head_len: fields.bytes.len() as u32,
        reason,
        body_len: 0,
        told_len: 0,
        route,
        timing: Timing::default(),
    };
    let mut obj = Obj::new(memory.block(Obj::<Response>::payload(tail))?, response);
    let (_, room) = obj.parts_mut();
    for (at, field) in room.chunks_exact_mut(FIELD).zip(fields.table) {
        let Field { name, name_len, value, value_len } = *field;
        for (word, number) in at.chunks_exact_mut(4).zip([name, name_len, value, value_len]) {
            word.copy_from_slice(&number.to_ne_bytes());
        }
    }
    room[table..table + fields.bytes.len()].copy_from_slice(fields.bytes);
    Some(obj)
}

/// Forget the body, which goes its own way.
pub fn clear_body(obj: &mut Obj<Response>) {
    obj.parts_mut().0.body_len = 0;
}

/// Append to the body, moving to a larger block when it is full. `false` if there is no memory.
pub fn append(memory: &mut Pool, obj: &mut Obj<Response>, bytes: &[u8]) -> bool {
    let used = obj.get().body_at() + obj.get().body_len as usize;
    if used + bytes.len() > obj.tail_capacity() {
        let wanted = (used + bytes.len()).max(obj.tail_capacity() * 2);
        let Some(block) = memory.block(Obj::<Response>::payload(wanted)) else { return false };
        let Response { status, version, fields, head_len, reason, body_len, told_len, route, timing } = *obj.get();
        let mut larger =
            Obj::new(block, Response { status, version, fields, head_len, reason, body_len, told_len, route, timing });
        larger.parts_mut().1[..used].copy_from_slice(&obj.tail()[..used]);
        *obj = larger;
    }
    let (response, tail) = obj.parts_mut();
    tail[used..used + bytes.len()].copy_from_slice(bytes);
    response.body_len += bytes.len() as u64;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_and_a_growing_body_survive_the_move() {
        let mut memory = Pool::default();
        let bytes = b"HTTP/1.1 200 Fine\r\nA: b\r\n\r\n";
        let table = [Field { name: 19, name_len: 1, value: 22, value_len: 1 }];
        let head = Head {
            version: Version::Http11,
            status: 200,
            reason: &bytes[13..17],
            fields: Fields { bytes, table: &table },
        };
        let mut obj = from_head(&mut memory, &head, 0, Route::default()).unwrap();
        let mut model = Vec::new();
        for i in 0..200u32 {
            let piece = vec![i as u8; i as usize];
            assert!(append(&mut memory, &mut obj, &piece));
            model.extend_from_slice(&piece);
        }
        let (r, tail) = (obj.get(), obj.tail());
        assert_eq!(r.body(tail), model);
        assert_eq!(r.field(tail, 0), Some((&b"A"[..], &b"b"[..])));
        assert_eq!(r.field(tail, 1), None);
        assert_eq!(r.reason(tail), b"Fine");
    }
}
