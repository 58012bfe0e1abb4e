//! What a person sees: numbered chapters, steps with their times, the model's words in a gutter.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::terminal::{bold, cyan, dim, green, span, yellow};

/// Where a step's time stands.
const TIME_COLUMN: usize = 66;
/// Width of the model's words.
const TEXT_WIDTH: usize = 72;

pub fn title() {
    println!();
    println!("  {}", bold("Waypost demo"));
    println!("  A workload without an API key gets a long answer. Its connection");
    println!("  breaks, then the server is killed. Not a character is lost.");
}

pub fn chapter(name: &str) {
    println!("\n  {}", bold(name));
}

/// Something about to be done that may take minutes.
pub fn patience(text: &str) {
    println!("  {} {}", dim("…"), dim(text));
}

/// A step that held.
pub fn done(text: &str, since: Instant) {
    done_in(text, since.elapsed());
}

pub fn done_in(text: &str, time: Duration) {
    let room = TIME_COLUMN.saturating_sub(text.chars().count()).max(1);
    println!("  {} {text}{:room$}{}", green("✓"), "", dim(&span(time)));
}

/// What held, without a time of its own.
pub fn held(text: &str) {
    println!("  {} {text}", green("✓"));
}

/// Something broken on purpose.
pub fn broke(text: &str) {
    println!("  {} {text}", yellow("✂"));
}

/// A fact below a step.
pub fn fact(text: &str) {
    println!("    {}", dim(text));
}

pub fn note(text: &str) {
    println!("  {} {text}", yellow("!"));
}

/// A line to copy, with what it does above it.
pub fn try_this(what: &str, command: &str) {
    println!("\n  {}", dim(&format!("# {what}")));
    for line in command.lines() {
        println!("  {}", cyan(line));
    }
}

/// The model's words as they come, wrapped behind a gutter.
#[derive(Default)]
pub struct Words {
    column: usize,
    word: String,
    /// A space that is due before the next word, if that is on the same line.
    space: bool,
}

impl Words {
    pub fn push(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' => {
                    self.flush();
                    // An empty line stays one: paragraphs need no more air.
                    if self.column > 0 {
                        self.end_line();
                    }
                }
                c if c.is_whitespace() => {
                    self.flush();
                    self.space = true;
                }
                c if c.is_control() => {}
                c => self.word.push(c),
            }
        }
        let _ = std::io::stdout().flush();
    }

    /// The stream stops here: half a word may stand at the end of the line.
    pub fn stop(&mut self) {
        self.flush();
        if self.column > 0 {
            self.end_line();
        }
    }

    fn flush(&mut self) {
        let word = std::mem::take(&mut self.word);
        let width = word.chars().count();
        if width == 0 {
            return;
        }
        if self.column > 0 && self.column + width >= TEXT_WIDTH {
            self.end_line();
        }
        if self.column == 0 {
            print!("  {} ", dim("│"));
        } else if self.space {
            print!(" ");
            self.column += 1;
        }
        print!("{word}");
        self.column += width;
        self.space = false;
    }

    fn end_line(&mut self) {
        println!();
        self.column = 0;
        self.space = false;
    }
}
