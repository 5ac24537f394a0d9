//! The weights of a model: read tensor by tensor, checked by name and shape, shared by all workers.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::PathBuf,
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tch::{Device, Kind, Tensor};

use super::safetensors::Safetensors;
use crate::error::{Failure, Result};

/// Buffers that hold no knowledge and that some writers store: an embedding's 0, 1, 2, ...
const CONSTANT: &[&str] = &["embeddings.position_ids"];

/// Named tensors on one device. Networks are built around shallow clones, so that workers share one copy.
#[derive(Debug)]
pub struct Weights {
    device: Device,
    tensors: Mutex<BTreeMap<String, Tensor>>,
}

impl Weights {
    /// No weights yet.
    pub fn on(device: Device) -> Self {
        Self { device, tensors: Mutex::default() }
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Reads every tensor of the files into `kind`, under names that start with `component.`. Beside the weights
    /// themselves, memory holds one tensor at a time.
    ///
    /// # Errors
    /// A broken file, a tensor that two files have, or one whose elements are no floating-point numbers.
    pub fn read(&self, component: &str, files: &[PathBuf], kind: Kind) -> Result<()> {
        for path in files {
            let file = Safetensors::open(path)?;
            for entry in &file.entries {
                if CONSTANT.iter().any(|name| entry.name.ends_with(name)) {
                    continue;
                }
                let said = |why: &str| Failure::Internal(format!("{}: tensor `{}` {why}", path.display(), entry.name));
                if !matches!(entry.kind, Kind::Double | Kind::Float | Kind::Half | Kind::BFloat16) {
                    return Err(said("does not hold floating-point numbers"));
                }
                let tensor = file.read(entry)?.to_device(self.device).to_kind(kind);
                if self.lock().insert(format!("{component}.{}", entry.name), tensor).is_some() {
                    return Err(said("stands in two files"));
                }
            }
        }
        Ok(())
    }

    /// The same tensors for another thread; the storage is shared.
    pub fn share(&self) -> Self {
        let tensors = self.lock().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        Self { device: self.device, tensors: Mutex::new(tensors) }
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> usize {
        self.lock().values().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
    }

    /// The number type of a component's weights; f32 where there are none.
    pub fn kind(&self, component: &str) -> Kind {
        let tensors = self.lock();
        let first = tensors.range(format!("{component}.")..).next();
        first.filter(|(name, _)| name.starts_with(component)).map_or(Kind::Float, |(_, tensor)| tensor.kind())
    }

    /// The tensors of one component, to build its network from.
    pub fn part(&self, component: &str) -> Part<'_> {
        Part { weights: self, prefix: format!("{component}."), used: Rc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Tensor>> {
        self.tensors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A view of the weights below a dotted name. It keeps count of what was taken.
#[derive(Clone)]
pub struct Part<'a> {
    weights: &'a Weights,
    prefix: String,
    used: Rc<RefCell<BTreeSet<String>>>,
}

impl Part<'_> {
    /// The part below `name`.
    pub fn at(&self, name: impl Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.weights.device
    }

    /// The name of this part, seen from its component.
    pub fn path(&self) -> String {
        let inner = self.prefix.split_once('.').map_or("", |(_, inner)| inner);
        inner.trim_end_matches('.').to_owned()
    }

    /// Whether there is a tensor or a part of that name.
    pub fn has(&self, name: &str) -> bool {
        let full = self.full(name);
        let tensors = self.weights.lock();
        tensors.range(full.clone()..).next().is_some_and(|(key, _)| key.starts_with(&full))
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// It is missing, or of another shape.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let full = self.full(name);
        let tensors = self.weights.lock();
        let said = |why: String| Failure::Internal(format!("the weights are not those of the configuration: {why}"));
        let tensor = tensors.get(&full).ok_or_else(|| said(format!("tensor `{full}` is missing")))?;
        if tensor.size() != shape {
            let found = tensor.size();
            return Err(said(format!("tensor `{full}` has shape {found:?} where {shape:?} is needed")));
        }
        self.used.borrow_mut().insert(full);
        Ok(tensor.shallow_clone())
    }

    /// Tensors one below the other, as one: `(name, shape)` each, equal but for the first size. The parts are given up
    /// for the whole, so that memory holds one copy; who builds next finds the whole.
    ///
    /// # Errors
    /// As [`Part::tensor`].
    pub fn stacked(&self, parts: &[(String, Vec<i64>)]) -> Result<Tensor> {
        let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
        self.derived("stacked", &names, || {
            let tensors = parts.iter().map(|(name, shape)| self.tensor(name, shape)).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::cat(&tensors, 0))
        })
    }

    /// What `make` makes of the named tensors, kept in their place.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn derived(&self, how: &str, names: &[&str], make: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        let key = self.full(&format!("{} ({how})", names.join("+")));
        if let Some(known) = self.weights.lock().get(&key) {
            self.used.borrow_mut().insert(key);
            return Ok(known.shallow_clone());
        }
        let made = tch::no_grad(make)?;
        let mut tensors = self.weights.lock();
        for name in names {
            tensors.remove(&self.full(name));
        }
        tensors.insert(key.clone(), made.shallow_clone());
        self.used.borrow_mut().insert(key);
        Ok(made)
    }

    /// Says that the network is complete.
    ///
    /// # Errors
    /// A tensor below this part that nothing took.
    pub fn complete(&self) -> Result<()> {
        let used = self.used.borrow();
        let tensors = self.weights.lock();
        let below = tensors.range(self.prefix.clone()..).take_while(|(key, _)| key.starts_with(&self.prefix));
        match below.map(|(key, _)| key).find(|key| !used.contains(*key)) {
            None => Ok(()),
            Some(extra) => Err(Failure::Internal(format!(
                "the weights are not those of the configuration: tensor `{extra}` has no place in the network"
            ))),
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
