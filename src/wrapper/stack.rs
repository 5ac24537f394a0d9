use serde_json::{Map, Value};

use super::{Kind, WRAPPERS, Wrapper};
use crate::{
    error::{Fault, Result},
    process::{Grid, Process},
    registry::find,
    sampler::{AnySolver, Place, SAMPLERS, Sampler},
};

/// The most wrappers around one sampler.
pub const MOST_WRAPPERS: usize = 8;

/// A sampler with the wrappers around it.
pub struct Stack {
    /// Its line in the registry.
    pub sampler: &'static Sampler,
    /// Itself.
    pub solver: Box<dyn AnySolver>,
    /// Around it, outermost first.
    pub wrappers: Vec<Box<dyn Wrapper>>,
}

impl Stack {
    /// Reads `"name"` or `{"name": .., options, "wrap": [..]}`.
    ///
    /// # Errors
    /// As [`find`] and [`Entry::read`](crate::registry::Entry::read), or a wrapper that the sampler does not carry.
    pub fn read(value: &Value) -> Result<Self, Fault> {
        let (bare, wrap) = split(value)?;
        let (sampler, options) = find(&bare, SAMPLERS, |sampler: &Sampler| &sampler.entry)?;
        let solver = sampler.entry.read(options)?;
        let mut seen: Vec<&str> = Vec::new();
        let mut wrappers = Vec::new();
        for (at, value) in wrap.iter().enumerate() {
            let under = |fault: Fault| fault.under(&format!("/wrap/{at}"));
            let (kind, options) = find(value, WRAPPERS, |kind: &Kind| &kind.entry).map_err(under)?;
            let name = kind.entry.name;
            if !solver.carries().contains(&kind.place) {
                return Err(under(Fault::new("", not_carried(sampler, solver.as_ref(), name))));
            }
            if seen.contains(&name) {
                return Err(under(Fault::new("", format!("`{name}` is there twice"))));
            }
            seen.push(name);
            wrappers.push(kind.entry.read(options).map_err(under)?);
        }
        Ok(Self { sampler, solver, wrappers })
    }

    /// Evaluations per picture over the schedule's grid; `None` where the data decide.
    pub fn evaluations(&self, grid: &Grid) -> Option<usize> {
        let own = self.own(grid);
        self.solver.evaluations(&self.walked(grid)).map(|evaluations| evaluations + own)
    }

    /// The most evaluations per picture over the schedule's grid.
    pub fn most(&self, grid: &Grid) -> usize {
        self.solver.most(&self.walked(grid)) + self.own(grid)
    }

    /// The levels that the solver walks.
    pub fn walked(&self, grid: &Grid) -> Grid {
        self.wrappers.iter().rev().fold(grid.clone(), |grid, wrapper| wrapper.grid(grid))
    }

    fn own(&self, grid: &Grid) -> usize {
        self.wrappers.iter().map(|wrapper| wrapper.evaluations(grid)).sum()
    }

    /// Whether each picture needs a run of its own.
    pub fn alone(&self) -> bool {
        self.solver.alone() || self.wrappers.iter().any(|wrapper| wrapper.alone())
    }

    /// Whether the wrappers can serve a model of that process.
    ///
    /// # Errors
    /// The first that cannot, and why.
    pub fn fits(&self, process: &dyn Process) -> Result<(), Fault> {
        for (at, wrapper) in self.wrappers.iter().enumerate() {
            wrapper.fits(process).map_err(|fault| fault.under(&format!("/wrap/{at}")))?;
        }
        Ok(())
    }
}

/// The sampler and its wrappers with every option filled in, as a value and as themselves.
///
/// # Errors
/// As [`Stack::read`].
pub fn canonical(value: &Value) -> Result<(Value, Stack), Fault> {
    let stack = Stack::read(value)?;
    let (bare, wrap) = split(value)?;
    let (sampler, options) = find(&bare, SAMPLERS, |sampler: &Sampler| &sampler.entry)?;
    let mut full = sampler.entry.canonical(&options)?;
    let wrap = wrap.iter().map(|value| {
        let (kind, options) = find(value, WRAPPERS, |kind: &Kind| &kind.entry)?;
        kind.entry.canonical(&options)
    });
    let wrap: Vec<Value> = wrap.collect::<Result<_, Fault>>()?;
    if let Some(fields) = full.as_object_mut().filter(|_| !wrap.is_empty()) {
        fields.insert("wrap".into(), wrap.into());
    }
    Ok((full, stack))
}

/// The sampler alone, and what is to wrap it.
fn split(value: &Value) -> Result<(Value, Vec<Value>), Fault> {
    let Value::Object(fields) = value else { return Ok((value.clone(), Vec::new())) };
    let mut fields: Map<String, Value> = fields.clone();
    match fields.remove("wrap") {
        None | Some(Value::Null) => Ok((fields.into(), Vec::new())),
        Some(Value::Array(wrap)) if wrap.len() <= MOST_WRAPPERS => Ok((fields.into(), wrap)),
        Some(Value::Array(_)) => {
            Err(Fault::new("/wrap", format!("at most {MOST_WRAPPERS} wrappers go around a sampler")))
        }
        Some(_) => Err(Fault::new("/wrap", "must be a list of wrappers, outermost first")),
    }
}

fn not_carried(sampler: &Sampler, solver: &dyn AnySolver, name: &str) -> String {
    let (own, works) = (sampler.entry.name, carried(solver.carries()).join(", "));
    format!("`{own}` with these options does not carry `{name}`; it carries: {works}")
}

/// The names of the wrappers that take hold where a solver lets them.
pub fn carried(places: &[Place]) -> Vec<&'static str> {
    WRAPPERS.iter().filter(|kind| places.contains(&kind.place)).map(|kind| kind.entry.name).collect()
}
