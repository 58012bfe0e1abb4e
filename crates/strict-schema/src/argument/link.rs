//! Links compiled schemas: references become formulas, and what no document can satisfy goes.
//!
//! Without the second half the promise of the first impossible byte could not hold: `{` would be
//! taken although the object requires a property whose schema accepts nothing.

use super::{
    Automaton,
    atoms::{ArrayAtom, Literals, NumberAtom, ObjectAtom, StringAtom},
    formula::{Expr, Formula, KINDS, Kind, Node, NodeId},
};
use crate::CompileError;

/// Size of one schema's formula for one kind, counting every alternative of every alternative.
pub(crate) const MAX_ALTERNATIVES: usize = 512;
/// Length of a chain of references without a property or item between them.
const MAX_ALIASES: usize = 64;
/// Sweeps over the nodes. Two or three settle any schema that people write; stopping early only
/// means that some unsatisfiable part is found at a later byte.
const MAX_SWEEPS: usize = 32;

/// What the compiler hands over.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) nodes: Vec<[Expr; 7]>,
    pub(crate) pointers: Vec<String>,
    pub(crate) strings: Vec<StringAtom>,
    pub(crate) numbers: Vec<NumberAtom>,
    pub(crate) arrays: Vec<ArrayAtom>,
    pub(crate) objects: Vec<ObjectAtom>,
}

pub(crate) fn link(mut parts: Parts, root: NodeId) -> Result<Automaton, CompileError> {
    let mut nodes = inline(&parts)?;
    let mut satisfiable = Satisfiable::compute(&nodes, &parts);
    for expressions in &mut nodes {
        for kind in KINDS {
            let expr = &expressions[kind as usize];
            let pruned = expr.map(&mut |leaf| match leaf {
                Expr::Atom(atom) if !satisfiable.atom(kind, *atom) => Expr::Always(false),
                other => other.clone(),
            });
            expressions[kind as usize] = pruned;
        }
    }
    // `oneOf` may have simplified to false; nodes are asked again from here on.
    satisfiable.nodes = nodes
        .iter()
        .map(|kinds| kinds.iter().any(|expr| *expr != Expr::Always(false)))
        .collect();
    for array in &mut parts.arrays {
        prune_array(array, &satisfiable);
    }
    for object in &mut parts.objects {
        prune_object(object, &satisfiable);
    }
    let nodes = nodes
        .into_iter()
        .map(|kinds| Node {
            is_never: kinds.iter().all(|expr| *expr == Expr::Always(false)),
            kinds: kinds.map(|expr| Formula {
                atoms: expr.atoms().into(),
                expr,
            }),
        })
        .collect();
    Ok(Automaton {
        nodes,
        root,
        strings: parts.strings,
        numbers: parts.numbers,
        arrays: parts.arrays,
        objects: parts.objects,
        skipped: Vec::new(),
    })
}

/// Replaces references to other nodes by those nodes' formulas.
fn inline(parts: &Parts) -> Result<Vec<[Expr; 7]>, CompileError> {
    let mut done: Vec<Option<[Expr; 7]>> = vec![None; parts.nodes.len()];
    for node in 0..parts.nodes.len() {
        inline_node(node, parts, &mut done, &mut Vec::new())?;
    }
    Ok(done.into_iter().flatten().collect())
}

fn inline_node(
    node: usize,
    parts: &Parts,
    done: &mut Vec<Option<[Expr; 7]>>,
    path: &mut Vec<usize>,
) -> Result<[Expr; 7], CompileError> {
    if let Some(kinds) = &done[node] {
        return Ok(kinds.clone());
    }
    if path.contains(&node) {
        return Err(CompileError::AliasCycle {
            pointer: parts.pointers[node].clone(),
        });
    }
    if path.len() >= MAX_ALIASES {
        return Err(CompileError::TooLarge {
            what: "references in a row",
            limit: MAX_ALIASES,
        });
    }
    path.push(node);
    let mut kinds = parts.nodes[node].clone();
    for (index, expr) in kinds.iter_mut().enumerate() {
        let mut problem = None;
        let mut size = 0;
        let linked = expr.map(&mut |leaf| match leaf {
            Expr::Ref(to) if problem.is_none() => {
                match inline_node(*to as usize, parts, done, path) {
                    Ok(target) => {
                        size += target[index].size();
                        if size > MAX_ALTERNATIVES {
                            problem = Some(CompileError::TooLarge {
                                what: "alternatives for one value",
                                limit: MAX_ALTERNATIVES,
                            });
                        }
                        target[index].clone()
                    }
                    Err(error) => {
                        problem = Some(error);
                        Expr::Always(false)
                    }
                }
            }
            other => other.clone(),
        });
        if let Some(problem) = problem {
            return Err(problem);
        }
        if linked.size() > MAX_ALTERNATIVES {
            return Err(CompileError::TooLarge {
                what: "alternatives for one value",
                limit: MAX_ALTERNATIVES,
            });
        }
        *expr = linked;
    }
    path.pop();
    done[node] = Some(kinds.clone());
    Ok(kinds)
}

/// Which nodes and containers some finite document satisfies (least fixed point: a list node
/// that requires a next list node, for ever, is satisfied by none).
struct Satisfiable {
    nodes: Vec<bool>,
    strings: Vec<bool>,
    numbers: Vec<bool>,
    arrays: Vec<bool>,
    objects: Vec<bool>,
}

impl Satisfiable {
    fn compute(nodes: &[[Expr; 7]], parts: &Parts) -> Self {
        let mut known = Self {
            nodes: vec![false; nodes.len()],
            strings: parts.strings.iter().map(StringAtom::is_possible).collect(),
            numbers: parts.numbers.iter().map(|atom| atom.possible).collect(),
            arrays: vec![false; parts.arrays.len()],
            objects: vec![false; parts.objects.len()],
        };
        for _ in 0..MAX_SWEEPS {
            if !known.sweep(nodes, parts) {
                return known;
            }
        }
        known.nodes.fill(true);
        known.arrays.fill(true);
        known.objects.fill(true);
        known
    }

    /// Children come after their parents, so going backwards settles trees at once.
    fn sweep(&mut self, nodes: &[[Expr; 7]], parts: &Parts) -> bool {
        let mut changed = false;
        for (index, kinds) in nodes.iter().enumerate().rev() {
            for kind in [Kind::Array, Kind::Object] {
                for atom in kinds[kind as usize].atoms() {
                    changed |= self.update(kind, atom as usize, parts);
                }
            }
            if !self.nodes[index] {
                let possible = KINDS
                    .iter()
                    .any(|&kind| kinds[kind as usize].possible(&|atom| self.atom(kind, atom)));
                self.nodes[index] = possible;
                changed |= possible;
            }
        }
        changed
    }

    fn update(&mut self, kind: Kind, atom: usize, parts: &Parts) -> bool {
        let (before, now) = if kind == Kind::Array {
            (self.arrays[atom], self.array(&parts.arrays[atom]))
        } else {
            (self.objects[atom], self.object(&parts.objects[atom]))
        };
        if before || !now {
            return false;
        }
        if kind == Kind::Array {
            self.arrays[atom] = true;
        } else {
            self.objects[atom] = true;
        }
        true
    }

    fn atom(&self, kind: Kind, atom: u32) -> bool {
        let atom = atom as usize;
        match kind {
            Kind::String => self.strings[atom],
            Kind::Number => self.numbers[atom],
            Kind::Array => self.arrays[atom],
            Kind::Object => self.objects[atom],
            Kind::Null | Kind::True | Kind::False => true,
        }
    }

    fn node(&self, node: NodeId) -> bool {
        self.nodes[node as usize]
    }

    fn array(&self, array: &ArrayAtom) -> bool {
        if array.max.is_some_and(|max| array.min > max) {
            return false;
        }
        let needed = usize::try_from(array.min).unwrap_or(usize::MAX);
        let prefix = &array.prefix[..needed.min(array.prefix.len())];
        prefix.iter().all(|&node| self.node(node))
            && (needed <= array.prefix.len() || array.rest.is_some_and(|node| self.node(node)))
    }

    fn object(&self, object: &ObjectAtom) -> bool {
        let open = object.extra.is_some_and(|node| self.node(node));
        let usable = object
            .children
            .iter()
            .filter(|&&node| self.node(node))
            .count();
        let required: u32 = object.required.iter().map(|word| word.count_ones()).sum();
        object
            .max
            .is_none_or(|max| object.min <= max && u64::from(required) <= max)
            && (open || object.min <= usable as u64)
            && (0..object.children.len()).all(|index| {
                object.required[index / 64] >> (index % 64) & 1 == 0
                    || self.node(object.children[index])
            })
    }
}

fn prune_array(array: &mut ArrayAtom, satisfiable: &Satisfiable) {
    if let Some(at) = array
        .prefix
        .iter()
        .position(|&node| !satisfiable.node(node))
    {
        array.max = Some(array.max.map_or(at as u64, |max| max.min(at as u64)));
    }
    array.rest = array.rest.filter(|&node| satisfiable.node(node));
}

/// Takes away properties that no value fits, where their names would otherwise be offered.
fn prune_object(object: &mut ObjectAtom, satisfiable: &Satisfiable) {
    object.extra = object.extra.filter(|&node| satisfiable.node(node));
    let usable: Vec<bool> = object
        .children
        .iter()
        .map(|&node| satisfiable.node(node))
        .collect();
    // An open object must still know the name: it would count as an extra property otherwise.
    if object.extra.is_some() || usable.iter().all(|&usable| usable) {
        return;
    }
    let mut renumbered = vec![None; usable.len()];
    let mut names = Vec::new();
    let mut children = Vec::new();
    let mut required = vec![0_u64; usable.len().div_ceil(64)];
    for old in (0..usable.len()).filter(|&old| usable[old]) {
        let new = names.len();
        renumbered[old] = Some(new as u32);
        names.push(object.names.0[old].clone());
        children.push(object.children[old]);
        required[new / 64] |= (object.required[old / 64] >> (old % 64) & 1) << (new % 64);
    }
    object.declared = object
        .declared
        .iter()
        .filter_map(|&old| renumbered[old as usize])
        .collect();
    object.names = Literals(names.into());
    object.children = children;
    required.truncate(object.names.0.len().div_ceil(64));
    object.required = required;
}
