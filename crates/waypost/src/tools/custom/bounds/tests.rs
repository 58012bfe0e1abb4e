use std::fmt::Write as _;

use serde_json::json;

use super::{
    super::{lark::Lark, regex::Pattern},
    *,
};

/// Grown memory above which a grammar took too much, in KiB.
const MOST: u64 = 64 * 1024;

fn check_lark(definition: &str) -> Result<(), String> {
    Lark::new(definition).map(drop)
}

fn chain(length: usize) -> String {
    let mut grammar = "start: r0\n".to_owned();
    for at in 0..length {
        let _ = writeln!(grammar, "r{at}: \"x\" r{}?", at + 1);
    }
    let _ = writeln!(grammar, "r{length}: \"a\"");
    grammar
}

fn rules(count: usize, rule: impl Fn(usize) -> String) -> String {
    (0..count).map(rule).collect::<Vec<_>>().concat()
}

fn joined(count: usize, pattern: impl Fn(usize) -> String) -> String {
    let parts: Vec<String> = (0..count).map(pattern).collect();
    format!("start: A\nA: {}\n", parts.join(" & "))
}

fn schema(value: &serde_json::Value) -> String {
    format!("start: %json {value}\n")
}

fn refused(grammar: &str) -> String {
    check_lark(grammar).expect_err(grammar)
}

#[test]
fn chains_of_rules_are_bounded_and_the_stack_is_made_for_them() {
    for length in [600, 683, 1_900] {
        assert!(refused(&chain(length)).contains("too deep"), "{length}");
    }
    let terminals = chain(600)
        .replace('r', "R")
        .replace("staRt: R0", "start: R0");
    assert!(refused(&terminals).contains("too deep"));
    let many: String = rules(2_100, |at| format!("r{at}: \"a\"\n"));
    assert!(refused(&format!("start: r0\n{many}")).contains("2101 rules and terminals"));
    let parenthesized: String = rules(100, |at| {
        format!("r{at}: {}r{}{}\n", "(".repeat(20), at + 1, ")".repeat(20))
    });
    let parenthesized = format!("start: r0\n{parenthesized}r100: \"a\"\n");
    assert!(refused(&parenthesized).contains("too deep"));
    // As deep as can be.
    assert_eq!(check_lark(&chain(MAX_DEPTH - 3)), Ok(()));
    let terminals = chain(MAX_DEPTH - 3).replace('r', "R");
    assert_eq!(check_lark(&terminals.replace("staRt", "start")), Ok(()));
    let groups: String = rules(MAX_DEPTH / 25 - 1, |at| {
        format!("r{at}: {}r{}{}\n", "(".repeat(24), at + 1, ")".repeat(24))
    });
    let last = MAX_DEPTH / 25 - 1;
    assert_eq!(
        check_lark(&format!("start: r0\n{groups}r{last}: \"a\"\n")),
        Ok(())
    );
    // Round in circles, and each rule once however many refer to it.
    assert_eq!(
        check_lark("start: a\na: b | \"x\"\nb: a \"y\" | start \"z\""),
        Ok(())
    );
}

/// What is joined may name itself, and the same again and again.
#[test]
fn what_is_joined_is_counted_once() {
    for circle in [
        "start: start & \"a\"",
        "start: A\nA: A & \"x\"",
        "start: A\nA: B & \"x\"\nB: ~A & /y/",
    ] {
        let why = check_lark(circle).expect_err(circle);
        assert!(why.len() < 2000, "{why}");
    }
    let pattern = "a".repeat(20_000);
    let doubled: String = rules(15, |at| format!("A{at}: A{} & A{}\n", at + 1, at + 1));
    let doubled = format!("start: A0\n{doubled}A15: /{pattern}/\n");
    assert_eq!(check(&doubled), Ok(()));
    let negated: String = rules(1_500, |at| format!("N{at}: ~A\n"));
    let names: Vec<String> = (0..1_500).map(|at| format!("N{at}")).collect();
    let negated = format!("start: {}\n{negated}A: /{pattern}/\n", names.join(" | "));
    assert!(refused(&negated).contains("too complex"));
}

#[test]
fn products_of_patterns_are_bounded() {
    let anywhere = |at: usize| format!("/.*x{at}.*/");
    let multiples = [2, 3, 5, 7, 11, 13, 17, 19, 23];
    let multiples = multiples.map(|of| json!({"type": "integer", "multipleOf": of}));
    for grammar in [
        joined(150, anywhere),
        joined(8, anywhere),
        joined(12, |at| format!("/([ab]x|[ac]y{at}|[ad]z|[ae]w).*/")),
        format!("start: \"q\" A\n{}", joined(10, anywhere).trim_start_matches("start: A\n")),
        // The product is in the terminals that others name.
        "start: Z\nZ: Y & /.*z.*/ & /.*u.*/\nY: X & /.*y.*/ & /.*v.*/\nX: /.*x.*/ & /.*w.*/ & /.*t.*/\n"
            .to_owned(),
        // And where it is negated.
        format!("start: A\nA: ~({})\n", joined(8, anywhere).trim_start_matches("start: A\nA: ").trim_end()),
        // Also where it is in a grammar within this one.
        format!("start: %lark {{ {} }}\n", joined(8, anywhere)),
        schema(&json!({"allOf": (0..900).map(|at| json!({"type": "string", "pattern": format!("x{at}")})).collect::<Vec<_>>()})),
        schema(&json!({"allOf": (0..30).map(|at| json!({"type": "string", "pattern": format!("x{at}")})).collect::<Vec<_>>()})),
        schema(&json!({"allOf": multiples})),
        schema(&json!({"type": "integer", "multipleOf": 223_092_870})),
        schema(&json!({"patternProperties": (0..300).map(|at| (format!("^p{at}x$"), json!({}))).collect::<serde_json::Map<_, _>>()})),
    ] {
        let why = refused(&grammar);
        assert!(why.contains("too complex"), "{why}");
        assert!(why.ends_with('.') && why.len() < 300, "{why}");
    }
    assert!(refused(&joined(40, |_| "/a/".to_owned())).contains("39 operators"));
    assert!(refused(&format!("start: /{}/", r"\w".repeat(20_000))).contains("too large"));
    assert!(Pattern::new(&r"\w".repeat(20_000)).is_err_and(|why| why.contains("too large")));
    // What people write.
    for grammar in [
        joined(5, anywhere),
        joined(3, |at| format!(r"/(\p{{L}}|\p{{N}})*\p{{Lu}}{at}.*/")),
        "start: A\nA: /[a-z]+/ & ~/.*foo.*/ & ~(\"if\" | \"else\" | \"while\")\n".to_owned(),
        "start: x\nx[suffix=/;/]: /[^;]*/\n".to_owned(),
        "%import common.INT\n%import common.WS -> S\n%ignore S\nstart: (INT | \"-\")~1..3 -> n\n     | [INT{2,4}]\n".to_owned(),
        "start: a::0x0\na::_: \"x\" a::incr(_) %if lt(_, 3)\n    | \"y\" %if ge(_[0:3], 1)\n".to_owned(),
        "start: %lark { start: \"a\" | B\n B: /b{2}/ }\n".to_owned(),
        "%llguidance {\"ignore_once\": true}\nstart: %regex {\"substring_words\": \"a b c\"} // end\n".to_owned(),
        schema(&json!({"type": "object", "allOf": [{"$ref": "#/$defs/base"}], "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"c": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}},
            "$defs": {"base": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y", "z"]}}}}})),
        schema(&json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node", "description": "d"}}}}})),
        schema(&json!({"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 5},
            "s": {"type": "string", "pattern": "^[a-z]+$", "format": "email"}}})),
    ] {
        if let Err(why) = check_lark(&grammar) {
            assert!(!why.contains("too "), "{grammar}: {why}");
            assert!(!why.contains("cannot be read"), "{grammar}: {why}");
        }
    }
}

/// Each runs in a process of its own, so that what it measures is its own.
#[test]
fn the_worst_within_the_bounds_takes_little_memory() {
    const CHILD: &str = "WAYPOST_TEST_GRAMMAR_MEMORY";
    let worst = worst();
    let Some(at) = std::env::var_os(CHILD) else {
        let this = std::env::current_exe().expect("the test's own file");
        let name = concat!(
            module_path!(),
            "::the_worst_within_the_bounds_takes_little_memory"
        );
        let (_, name) = name.split_once("::").expect("a crate");
        let mut failed = Vec::new();
        for at in 0..worst.len() {
            let status = std::process::Command::new(&this)
                .args([name, "--exact", "--nocapture"])
                .env(CHILD, at.to_string())
                .status()
                .expect("a process");
            if !status.success() {
                failed.push(at);
            }
        }
        assert_eq!(failed, Vec::<usize>::new());
        return;
    };
    let at: usize = at.to_string_lossy().parse().expect("a number");
    // The engine itself.
    assert_eq!(check_lark("start: /[a-z]+/ \"x\""), Ok(()));
    let before = memory();
    let begun = std::time::Instant::now();
    let compiled = Lark::new(&worst[at]);
    let compiling = begun.elapsed().as_millis();
    if let Ok(lark) = &compiled {
        for seed in 0..3_u32 {
            let input: String = (0..400_u32)
                .map(|at| (at + seed * 1_000).wrapping_mul(2_654_435_761) >> 13)
                .map(|random| char::from(b'a' + (random % 26) as u8))
                .collect();
            let mut progress = lark.begin();
            let _ = progress.push(format!("\"{input}").as_bytes());
            let mut progress = lark.begin();
            let _ = progress.push(input.as_bytes());
            let mut progress = lark.begin();
            let digits: String = input
                .bytes()
                .map(|byte| char::from(b'0' + byte % 10))
                .collect();
            let _ = progress.push(digits.as_bytes());
        }
    }
    let grown = memory().saturating_sub(before);
    let head: String = worst[at].chars().take(60).collect();
    let took = begun.elapsed().as_millis();
    println!(
        "{grown} KiB, {compiling} ms, {took} ms, {:?}: {head}",
        compiled.err()
    );
    assert!(grown < MOST, "{grown} KiB: {head}");
}

/// What an attacker would try within the bounds.
fn worst() -> Vec<String> {
    let big: serde_json::Map<_, _> = (0..800)
        .map(|at| (format!("p{at}"), json!({"type": "null"})))
        .collect();
    let big = json!({"type": "object", "properties": {"a": {"type": "object", "properties": big}}});
    let either = |name: &str, count: usize| {
        let options =
            (0..count).map(|at| json!({"type": "object", "required": [format!("{name}{at}")]}));
        json!({"anyOf": options.collect::<Vec<_>>()})
    };
    let alternatives = |count: usize, of: &dyn Fn(usize) -> String| {
        (0..count).map(of).collect::<Vec<_>>().join("|")
    };
    vec![
        chain(MAX_DEPTH - 3),
        chain(MAX_DEPTH - 3)
            .replace('r', "R")
            .replace("staRt", "start"),
        // Alternatives times what is put together with them.
        schema(&json!({"allOf": [big, either("x", 2)]})),
        schema(
            &json!({"type": "object", "properties": (0..1_000).map(|at| (format!("p{at}"), json!({"type": "null"}))).collect::<serde_json::Map<_, _>>()}),
        ),
        schema(&json!({"allOf": [big, either("x", 100), either("y", 100)]})),
        schema(
            &json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {
            "a": {"type": "object", "properties": {"n": {"$ref": "#/$defs/a"}, "m": {"$ref": "#/$defs/a"}, "big": big}},
            "b": {"type": "object", "properties": {"n": {"$ref": "#/$defs/b"}, "m": {"$ref": "#/$defs/b"}}}}}),
        ),
        schema(
            &json!({"type": "object", "anyOf": [either("x", 300)], "properties": {"a": {"enum": (0..300).collect::<Vec<_>>()}}}),
        ),
        format!(
            "start: %regex {{\"substring_chars\": \"{}\"}}\n",
            (0..30_000_u32)
                .map(|at| char::from(b'a' + (at.wrapping_mul(2_654_435_761) >> 13) as u8 % 26))
                .collect::<String>()
        ),
        // Terminals that stay possible together, and inputs that never repeat.
        format!(
            "start: {}\n",
            (0..150)
                .map(|at| format!(
                    "/.*[a-{}]{{{}}}.*/",
                    char::from(b'b' + at % 24),
                    at % 50 + 1
                ))
                .collect::<Vec<_>>()
                .join(" | ")
        ),
        "start: x+\nx: \"a\" | /[a-z]/ | x x\n".to_owned(),
        "start: a a a a\na: b* \"x\"?\nb: /[a-z]/ | a b | b a\n".to_owned(),
        joined(6, |at| format!("/.*x{at}.*/")),
        joined(6, |at| format!("/.*[a-d]{{{}}}[a-z].*/", at + 20)),
        joined(2, |at| {
            format!("/.*a.{{{}}}|.*b.{{40}}|.*c.{{40}}|.*d.{{40}}/", at + 30)
        }),
        joined(3, |at| format!("/([ab]x|[ac]y{at}|[ad]z).*/")),
        format!(
            "start: A\nA: ~(/{}/)\n",
            alternatives(60, &|at| format!(".*[a-z]{{{at}}}q"))
        ),
        format!(
            "start: A\nA: ~(/{}/)\n",
            alternatives(6_000, &|at| format!("w{at}"))
        ),
        format!(
            "start: /({})/\n",
            alternatives(4_000, &|at| format!(".*{}.{{9}}", at % 10))
        ),
        format!("start: /{}/\n", r"\w".repeat(1_000)),
        format!(
            "start: ({})+\n{}",
            alternatives(900, &|at| format!("T{at}")),
            (0..900).fold(String::new(), |all, at| all
                + &format!(
                    "T{at}: /.*[a-{}]{{{}}}/\n",
                    char::from(b'b' + (at % 24) as u8),
                    at % 50 + 1
                ))
        ),
        "start: ((\"a\"{1000}){1000}){1000}\n".to_owned(),
        "start: (a | b){1,100000}\na: (b | \"x\"){1,100000}\nb: \"b\"\n".to_owned(),
        schema(
            &json!({"allOf": (0..6).map(|at| json!({"type": "string", "pattern": format!("^.*x{at}.*$")})).collect::<Vec<_>>()}),
        ),
        schema(&json!({"allOf": [{"type": "integer", "multipleOf": 97}, {"multipleOf": 101}]})),
        schema(&json!({"type": "string", "minLength": 50_000, "maxLength": 4_000_000})),
        schema(
            &json!({"type": "array", "minItems": 100_000, "items": {"type": "array", "minItems": 1_000}}),
        ),
        schema(
            &json!({"patternProperties": (0..16).map(|at| (format!("^p{at}x$"), json!({}))).collect::<serde_json::Map<_, _>>()}),
        ),
    ]
}

/// The most memory that this process had, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
