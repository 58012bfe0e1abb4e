//! Tells the calls of one answer apart.
//!
//! The API numbers parallel calls. Servers in the field give all of them the
//! number 0 (Ollama without a parser, Dynamo, adapters of Gemini), or none, or
//! the same id twice; some repeat a call's id and name in every piece. What
//! begins another call is therefore decided by all that a piece says.

use crate::{model::CallKind, upstream::error::UpstreamError};

/// Function calls of one answer.
pub(super) const MAX_CALLS: usize = 256;

/// A piece of a call, as a server sends it.
pub(super) struct Piece<'a> {
    pub index: Option<u64>,
    /// Neither is ever empty.
    pub id: Option<&'a str>,
    pub name: Option<&'a str>,
    pub arguments: &'a str,
    pub kind: CallKind,
}

/// Where a piece belongs.
pub(super) struct Place {
    pub key: u64,
    pub kind: CallKind,
    /// It says again what its call has said already.
    pub repeats: bool,
}

/// The calls of one answer; their places are their keys.
#[derive(Debug, Default)]
pub(super) struct Calls {
    seen: Vec<Seen>,
    /// The call of the last piece.
    last: Option<usize>,
}

#[derive(Debug)]
struct Seen {
    index: Option<u64>,
    id: Option<String>,
    name: Option<String>,
    kind: CallKind,
    arguments: Extent,
}

impl Calls {
    /// Finds the call of a piece, or begins one.
    pub fn place(&mut self, piece: &Piece<'_>) -> Result<Place, UpstreamError> {
        let at = match self.find(piece) {
            Some(at) if self.begins_another(at, piece) => None,
            found => found,
        };
        let at = match at {
            Some(at) => at,
            None => self.begin(piece)?,
        };
        self.last = Some(at);
        let seen = &mut self.seen[at];
        if piece.kind == CallKind::Custom {
            seen.kind = piece.kind;
        }
        if seen.id.is_none() {
            seen.id = piece.id.map(str::to_owned);
        }
        // A server that sends all of a call once more at the end.
        let is_whole = seen.kind == CallKind::Function && seen.arguments.is_whole();
        let repeats = is_whole
            && seen.name.is_some()
            && piece.name.is_some()
            && piece.arguments.trim_start().starts_with('{');
        if !repeats {
            seen.arguments.read(piece.arguments);
        }
        if seen.name.is_none() {
            seen.name = piece.name.map(str::to_owned);
        }
        Ok(Place {
            key: at as u64,
            kind: seen.kind,
            repeats,
        })
    }

    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        if let Some(index) = piece.index {
            let has = |seen: &Seen, id: Option<&str>| {
                seen.index == Some(index) && (id.is_none() || seen.id.as_deref() == id)
            };
            // Of several with one number, the one with this id, or the latest.
            let with_id = piece
                .id
                .and_then(|id| self.seen.iter().rposition(|seen| has(seen, Some(id))));
            return with_id.or_else(|| self.seen.iter().rposition(|seen| has(seen, None)));
        }
        match piece.id {
            Some(id) => {
                let has = |seen: &Seen| seen.id.as_deref() == Some(id);
                self.seen.iter().rposition(has)
            }
            // A name begins a call, unless it is said again in its pieces.
            None if piece.name.is_some() => self.last.filter(|at| {
                let seen = &self.seen[*at];
                seen.name.as_deref() == piece.name && seen.arguments.is_open()
            }),
            None => self.last,
        }
    }

    /// Whether a piece that has the number of a call begins another one.
    fn begins_another(&self, at: usize, piece: &Piece<'_>) -> bool {
        let seen = &self.seen[at];
        let named = piece.name.is_some() && seen.name.is_some();
        if let (Some(before), Some(id)) = (&seen.id, piece.id) {
            // With its id alone it is a server that makes a new one for each piece.
            return named && before != id;
        }
        // Without ids, only a call whose arguments are not open can be over.
        let other_name = seen.name.as_deref() != piece.name;
        let more = seen.arguments.is_whole() && !piece.arguments.trim().is_empty();
        named
            && seen.kind == CallKind::Function
            && !seen.arguments.is_open()
            && (other_name || more)
    }

    fn begin(&mut self, piece: &Piece<'_>) -> Result<usize, UpstreamError> {
        if self.seen.len() == MAX_CALLS {
            return Err(UpstreamError::TooLarge(format!(
                "more than {MAX_CALLS} function calls"
            )));
        }
        self.seen.push(Seen {
            index: piece.index,
            id: None,
            name: None,
            kind: piece.kind,
            arguments: Extent::default(),
        });
        Ok(self.seen.len() - 1)
    }
}

/// How far a JSON object reaches, as it comes.
#[derive(Debug, Default)]
struct Extent {
    depth: u32,
    began: bool,
    in_string: bool,
    escaped: bool,
}

impl Extent {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' => self.escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => {
                    self.depth += 1;
                    self.began = true;
                }
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.began && self.depth == 0 && !self.in_string
    }

    fn is_open(&self) -> bool {
        self.depth > 0 || self.in_string
    }
}
