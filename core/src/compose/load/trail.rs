//! The way from the root of a file to a value in it.

/// The way from the root to a node, kept on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    before: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// As many names of a trail as any rule looks at.
pub(crate) const RULES: usize = 7;

impl<'a> Trail<'a> {
    pub(crate) const ROOT: Trail<'static> = Trail { before: None, step: Step::Root };

    pub(crate) fn key<'b>(&'b self, name: &'b str) -> Trail<'b>
    where
        'a: 'b,
    {
        Trail { before: Some(self), step: Step::Key(name) }
    }

    pub(crate) fn index<'b>(&'b self, at: usize) -> Trail<'b>
    where
        'a: 'b,
    {
        Trail { before: Some(self), step: Step::Index(at) }
    }

    /// `services.web.ports[0]`
    pub(crate) fn path(&self) -> String {
        const LONGEST: usize = 2_000;
        let mut out = self.before.map(Trail::path).unwrap_or_default();
        // There may be many problems below keys that are made to be long.
        if out.len() > LONGEST {
            if !out.ends_with('…') {
                out.push('…');
            }
            return out;
        }
        match self.step {
            Step::Root => {}
            Step::Key(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(&crate::error::escape(name));
            }
            Step::Index(at) => out.push_str(&format!("[{at}]")),
        }
        out
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }

    /// Whether there are typed places below.
    pub(crate) fn has_casts(&self) -> bool {
        match (self.before, self.step) {
            (None, _) => true,
            (Some(Trail { before: None, .. }), Step::Key(name)) => matches!(name, "services" | "networks" | "volumes" | "secrets" | "configs"),
            (Some(before), _) => before.has_casts(),
        }
    }

    /// The names from the root, `[]` for a place in a list; none when there are more than any rule looks at.
    pub(crate) fn names<'b>(&'b self, room: &'b mut [&'a str; RULES]) -> Option<&'b [&'a str]> {
        let mut depth = 0usize;
        let mut at = Some(self);
        while let Some(trail) = at {
            depth += usize::from(!matches!(trail.step, Step::Root));
            at = trail.before;
        }
        let mut left = depth;
        let mut at = Some(self);
        while let Some(trail) = at {
            let name = match trail.step {
                Step::Root => break,
                Step::Key(name) => name,
                Step::Index(_) => "[]",
            };
            left = left.checked_sub(1)?;
            *room.get_mut(left)? = name;
            at = trail.before;
        }
        room.get(..depth)
    }
}
