//! Finds where what a path says is defined, and so who imports whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    Sources,
    read::{self, Modules, Said},
};

/// The crate whose top folders have a table of their own.
const SERVER: &str = "waypost";
/// Modules behind a feature that other crates import by a row of their own: in a build of the
/// whole workspace every feature is on, and the compiler would let everybody in.
const GATED: [[&str; 2]; 1] = [["outbound", "client"]];
/// Re-exports of re-exports of … that are followed.
const MAX_HOPS: usize = 16;

/// Something in `from` uses something that is defined in `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub file: PathBuf,
    pub line: usize,
    pub from: String,
    pub to: String,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            from,
            to,
        } = self;
        write!(f, "{}:{line}: {from} -> {to}", file.display())
    }
}

/// All modules of all crates.
#[derive(Clone)]
pub struct Graph {
    modules: Modules,
    /// Crates by the names that code has for them.
    crates: BTreeMap<String, String>,
}

impl Graph {
    pub fn of(sources: &Sources) -> Self {
        let mut modules = Modules::new();
        let mut crates = BTreeMap::new();
        for file in sources.keys() {
            let is_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
            if !is_root {
                continue;
            }
            let folder = file.parent().and_then(Path::parent).expect("a crate");
            let name = folder.file_name().expect("a name").to_string_lossy();
            // A binary beside a library is a crate that uses it.
            let is_beside =
                file.ends_with("main.rs") && sources.contains_key(&folder.join("src/lib.rs"));
            if is_beside {
                read::read(sources, &format!("{name} (bin)"), file, &mut modules);
            } else {
                crates.insert(name.replace('-', "_"), name.to_string());
                read::read(sources, &name, file, &mut modules);
            }
        }
        Self { modules, crates }
    }

    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let modules = self.modules.keys();
        modules.flat_map(|path| self.arrows_of(path)).collect()
    }

    /// The arrows that begin in a module.
    pub fn arrows_of(&self, path: &[String]) -> BTreeSet<Arrow> {
        let module = &self.modules[path];
        let arrow = |said: &Said| {
            let home = self.home(path, &said.path, 0)?;
            let (from, to) = (name(path, &home), name(&home, path));
            (from != to).then(|| Arrow {
                file: module.file.clone(),
                line: said.line,
                from,
                to,
            })
        };
        module.said.iter().filter_map(arrow).collect()
    }

    /// Adds lines to a module.
    pub fn plant(&mut self, path: &[String], text: &str) {
        let module = self.modules.get_mut(path).expect("a module");
        read::add(module, text);
    }

    /// The module in which what `said` names is defined, or which it names.
    fn home(&self, from: &[String], said: &[String], hops: usize) -> Option<Vec<String>> {
        if hops > MAX_HOPS {
            return None;
        }
        let mut here = from.to_vec();
        let mut rest = said;
        let first = rest.first()?;
        match first.as_str() {
            "crate" | "$crate" => here.truncate(1),
            "self" => {}
            "super" => {
                here.pop()?;
            }
            _ => {
                if let Some(home) = self.within(&here, first, &rest[1..], hops) {
                    return Some(home);
                }
                let root = self.crates.get(first)?.clone();
                return Some(self.descend(vec![root], &rest[1..], hops));
            }
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|part| part == "super") {
            here.pop()?;
            rest = &rest[1..];
        }
        Some(self.descend(here, rest, hops))
    }

    /// Follows a path from a module on.
    fn descend(&self, here: Vec<String>, rest: &[String], hops: usize) -> Vec<String> {
        let Some((next, rest)) = rest.split_first() else {
            return here;
        };
        // Else made by a macro, or a crate of others that is passed on.
        self.within(&here, next, rest, hops).unwrap_or(here)
    }

    /// What a name stands for in a module, and what follows it.
    fn within(
        &self,
        here: &[String],
        name: &str,
        rest: &[String],
        hops: usize,
    ) -> Option<Vec<String>> {
        let mut inner = here.to_vec();
        inner.push(name.to_owned());
        if self.modules.contains_key(&inner) {
            return Some(self.descend(inner, rest, hops));
        }
        let module = self.modules.get(here)?;
        if module.items.contains(name) {
            return Some(here.to_vec());
        }
        if let Some(path) = module.uses.get(name) {
            // `use http;` would be itself.
            let mut whole = path.clone();
            whole.extend(rest.iter().cloned());
            if path.first().is_some_and(|first| first != name) {
                return self.home(here, &whole, hops + 1);
            }
            let root = self.crates.get(name)?.clone();
            return Some(self.descend(vec![root], &whole[1..], hops + 1));
        }
        if hops > MAX_HOPS {
            return None;
        }
        module.globs.iter().find_map(|glob| {
            let target = self.home(here, glob, hops + 1)?;
            (target != here)
                .then(|| self.within(&target, name, rest, hops + 1))
                .flatten()
        })
    }
}

/// The name of a module's place: its crate, or its top folder where the other
/// one is in the same crate, or the gated module of another crate.
fn name(of: &[String], other: &[String]) -> String {
    let home = &of[0];
    if home == SERVER && other[0] == SERVER {
        return of.get(1).cloned().unwrap_or_else(|| "lib".to_owned());
    }
    let gated = |[krate, module]: &[&str; 2]| {
        home == krate && other[0] != *krate && of.get(1).is_some_and(|name| name == module)
    };
    if GATED.iter().any(gated) {
        return of[..2].join("::");
    }
    home.clone()
}
