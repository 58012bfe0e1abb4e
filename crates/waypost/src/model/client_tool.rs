//! Tools that the client runs on its own machine, and whose form OpenAI fixed:
//! `local_shell`, `shell`, `apply_patch`, `computer`.

use serde_json::Value;

/// One of these tools. A request has each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTool {
    /// A program and its arguments.
    LocalShell,
    /// Command lines.
    Shell,
    /// A file, changed by a diff.
    ApplyPatch,
    /// A screen, a pointer and a keyboard.
    Computer,
}

impl ClientTool {
    pub(crate) const ALL: [Self; 4] = [
        Self::LocalShell,
        Self::Shell,
        Self::ApplyPatch,
        Self::Computer,
    ];

    /// The type of the tool, and the name under which models see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalShell => "local_shell",
            Self::Shell => "shell",
            Self::ApplyPatch => "apply_patch",
            Self::Computer => "computer",
        }
    }

    /// The type of the item that is its call.
    pub fn call_type(self) -> &'static str {
        match self {
            Self::LocalShell => "local_shell_call",
            Self::Shell => "shell_call",
            Self::ApplyPatch => "apply_patch_call",
            Self::Computer => "computer_call",
        }
    }

    /// The type of the item that answers its call.
    pub fn output_type(self) -> &'static str {
        match self {
            Self::LocalShell => "local_shell_call_output",
            Self::Shell => "shell_call_output",
            Self::ApplyPatch => "apply_patch_call_output",
            Self::Computer => "computer_call_output",
        }
    }

    /// What its calls are called in errors.
    pub fn words(self) -> &'static str {
        match self {
            Self::LocalShell => "local shell call",
            Self::Shell => "shell call",
            Self::ApplyPatch => "apply patch call",
            Self::Computer => "computer call",
        }
    }

    /// What the ids of its calls begin with.
    pub fn call_prefix(self) -> &'static str {
        match self {
            Self::LocalShell => "lsh_",
            Self::Shell => "sh_",
            Self::ApplyPatch => "apc_",
            Self::Computer => "cu_",
        }
    }

    /// What the ids of its outputs begin with.
    pub fn output_prefix(self) -> &'static str {
        match self {
            Self::LocalShell => "lsho_",
            Self::Shell => "sho_",
            Self::ApplyPatch => "apco_",
            Self::Computer => "cuo_",
        }
    }

    /// The tool of this type.
    pub fn of_tool(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == kind)
    }

    /// The tool that a `tool_choice` of this type means.
    pub fn of_choice(kind: &str) -> Option<Self> {
        match kind {
            // The Agents SDKs say it so, too.
            "computer_use" => Some(Self::Computer),
            kind => Self::of_tool(kind),
        }
    }

    /// The tool that this item is a call of.
    pub fn of_call(item: &Value) -> Option<Self> {
        let kind = item["type"].as_str()?;
        Self::ALL.into_iter().find(|tool| tool.call_type() == kind)
    }

    /// The tool that this item is the output of.
    pub fn of_output(item: &Value) -> Option<Self> {
        let kind = item["type"].as_str()?;
        let mut all = Self::ALL.into_iter();
        all.find(|tool| tool.output_type() == kind)
    }

    /// The events by which a model server that knows these tools lets a call grow,
    /// by their types.
    pub fn call_event(kind: &str) -> Option<&'static str> {
        const EVENTS: [&str; 7] = [
            "response.shell_call_command.added",
            "response.shell_call_command.delta",
            "response.shell_call_command.done",
            "response.shell_call_output_content.delta",
            "response.shell_call_output_content.done",
            "response.apply_patch_call_operation_diff.delta",
            "response.apply_patch_call_operation_diff.done",
        ];
        EVENTS.into_iter().find(|known| *known == kind)
    }

    /// Whether an event says by `item_id` which item it is about. Those of a
    /// shell's commands have the item's place alone.
    pub fn names_its_item(kind: &str) -> bool {
        !kind.starts_with("response.shell_call_command.")
    }
}
