//! Modules as their sources have them: what each defines, what it brings into
//! scope, and every path that it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Literal, TokenStream, TokenTree};
use syn::{
    Attribute, Item, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::Sources;

/// A path, and the line where it stands.
#[derive(Debug, Clone)]
pub struct Said {
    pub path: Vec<String>,
    pub line: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Module {
    pub file: PathBuf,
    /// Names defined here, but for modules.
    pub items: BTreeSet<String>,
    /// Names brought into scope, and the paths that they stand for.
    pub uses: BTreeMap<String, Vec<String>>,
    /// Paths of which everything is brought into scope.
    pub globs: Vec<Vec<String>>,
    /// Every path said here.
    pub said: Vec<Said>,
}

/// Modules by their path; its first part is the crate.
pub type Modules = BTreeMap<Vec<String>, Module>;

/// Reads a crate from its root file.
pub fn read(sources: &Sources, name: &str, file: &Path, all: &mut Modules) {
    read_file(sources, vec![name.to_owned()], file, all);
}

/// Reads further lines of a module.
pub fn add(module: &mut Module, text: &str) {
    let mut reader = Reader {
        module: std::mem::take(module),
    };
    for item in &syn::parse_str::<syn::File>(text).expect("Rust").items {
        reader.module.items.extend(name_of(item));
        reader.visit_item(item);
    }
    *module = reader.module;
}

fn read_file(sources: &Sources, path: Vec<String>, file: &Path, all: &mut Modules) {
    let text = sources
        .get(file)
        .unwrap_or_else(|| panic!("no file {}", file.display()));
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    read_items(sources, path, file, &parsed.items, all);
}

fn read_items(
    sources: &Sources,
    path: Vec<String>,
    file: &Path,
    items: &[Item],
    all: &mut Modules,
) {
    let mut reader = Reader::default();
    file.clone_into(&mut reader.module.file);
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        if let Item::Mod(module) = item {
            let mut inner = path.clone();
            inner.push(module.ident.to_string());
            if let Some((_, items)) = &module.content {
                read_items(sources, inner, file, items, all);
            } else {
                let file = file_of(sources, file, &path, module);
                read_file(sources, inner, &file, all);
            }
            continue;
        }
        reader.module.items.extend(name_of(item));
        reader.visit_item(item);
    }
    all.insert(path, reader.module);
}

/// The file of `mod name;`.
fn file_of(sources: &Sources, parent: &Path, path: &[String], module: &syn::ItemMod) -> PathBuf {
    let folder = parent.parent().expect("a folder");
    for attribute in &module.attrs {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("path")
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(name) = &literal.lit
        {
            return folder.join(name.value());
        }
    }
    let is_root = path.len() == 1 || parent.ends_with("mod.rs");
    let folder = if is_root {
        folder.to_owned()
    } else {
        folder.join(parent.file_stem().expect("a name"))
    };
    let name = module.ident.to_string();
    let flat = folder.join(format!("{name}.rs"));
    if sources.contains_key(&flat) {
        flat
    } else {
        folder.join(name).join("mod.rs")
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Whether an item is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return attribute.path().is_ident("test");
        };
        let words = list.tokens.to_string();
        list.path.is_ident("cfg") && (words == "test" || words.starts_with("all (test"))
    })
}

#[derive(Default)]
struct Reader {
    module: Module,
}

impl Reader {
    fn say(&mut self, path: Vec<String>, line: usize) {
        if !path.is_empty() {
            self.module.said.push(Said { path, line });
        }
    }

    fn bring(&mut self, tree: &UseTree, mut path: Vec<String>) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.bring(&inner.tree, path);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.bring(tree, path.clone());
                }
            }
            UseTree::Glob(_) => {
                self.module.globs.push(path.clone());
                self.say(path, line);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                if name != "self" {
                    path.push(name);
                }
                if let Some(last) = path.last().cloned() {
                    self.module.uses.insert(last, path.clone());
                }
                self.say(path, line);
            }
            UseTree::Rename(name) => {
                if name.ident != "self" {
                    path.push(name.ident.to_string());
                }
                self.module
                    .uses
                    .insert(name.rename.to_string(), path.clone());
                self.say(path, line);
            }
        }
    }

    /// A path that a derive macro takes as a text, as serde's do.
    fn text(&mut self, text: &Literal) {
        let line = text.span().start().line;
        if let Ok(syn::Lit::Str(text)) = syn::parse_str(&text.to_string())
            && let Ok(path) = text.parse::<syn::Path>()
            && path.segments.len() > 1
        {
            let parts = path.segments.iter().map(|part| part.ident.to_string());
            self.say(parts.collect(), line);
        }
    }

    /// Paths among tokens: names joined by `::`; with `texts`, also within texts.
    fn tokens(&mut self, tokens: TokenStream, texts: bool) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        let whole = std::mem::take(&mut path);
                        self.say(whole, line);
                        line = name.span().start().line;
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    let whole = std::mem::take(&mut path);
                    self.say(whole, line);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream(), texts),
                        TokenTree::Literal(text) if texts => self.text(&text),
                        _ => {}
                    }
                }
            }
        }
        self.say(path, line);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.bring(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        self.say(parts.collect(), path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone(), false);
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), true);
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
