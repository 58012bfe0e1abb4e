pub mod choice;
pub mod names;
