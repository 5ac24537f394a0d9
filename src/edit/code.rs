use std::{collections::BTreeMap, fmt};

use tch::{Device, Tensor};

/// What a tensor of a code is, for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A state, `[C, h, w]`.
    State,
    /// So many states, `[K, C, h, w]`.
    States(usize),
    /// So many texts as the network reads them, `[K, L, D]`.
    Texts(usize),
}

/// The sizes of what codes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of a state, `[C, h, w]`.
    pub state: [i64; 3],
    /// Of a text, `[L, D]`; zeros for a model that reads none.
    pub text: [i64; 2],
}

impl Part {
    /// Whether a tensor of that shape can be it.
    pub fn has(self, shape: &[i64], sizes: Sizes) -> bool {
        let many =
            |k: usize, each: &[i64]| shape.split_first().is_some_and(|(n, rest)| *n as usize == k && rest == each);
        match self {
            Self::State => *shape == sizes.state,
            Self::States(k) => many(k, &sizes.state),
            Self::Texts(k) => many(k, &sizes.text),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => write!(f, "one state of this size"),
            Self::States(k) => write!(f, "{k} states of this size"),
            Self::Texts(k) => write!(f, "{k} texts of this model, in as many chunks"),
        }
    }
}

/// What leads back to a picture: named tensors, each `[n, ..]` for n pictures.
#[derive(Debug, Default)]
pub struct Code(BTreeMap<String, Tensor>);

impl Code {
    /// A code of one tensor, `[n, ..]`.
    pub fn of(name: &str, tensor: Tensor) -> Self {
        Self::default().with(name, tensor)
    }

    /// The same with one more.
    pub fn with(mut self, name: &str, tensor: Tensor) -> Self {
        self.0.insert(name.into(), tensor);
        self
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        self.0.values().next().map_or(Device::Cpu, Tensor::device)
    }

    /// The same there.
    pub fn to_device(&self, device: Device) -> Self {
        Self(self.0.iter().map(|(name, tensor)| (name.clone(), tensor.to_device(device))).collect())
    }

    /// Names and tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The rows of n pictures from `first` on, where it has one for each; of a code that all share, that one n times.
    pub fn rows(&self, first: i64, n: i64) -> Self {
        let rows = |tensor: &Tensor| match tensor.size()[0] {
            1 => tensor.expand([&[n], &tensor.size()[1..]].concat(), false),
            _ => tensor.narrow(0, first, n),
        };
        Self(self.0.iter().map(|(name, tensor)| (name.clone(), rows(tensor))).collect())
    }

    /// The tensor of that name, `[n, ..]`.
    ///
    /// # Panics
    /// There is none: files are checked before they become codes.
    pub fn get(&self, name: &str) -> &Tensor {
        &self.0[name]
    }

    /// The k-th state `[n, C, h, w]` of the tensor of that name, `[n, K, C, h, w]`.
    pub fn state(&self, name: &str, k: usize) -> Tensor {
        self.get(name).select(1, i64::try_from(k).expect("few states"))
    }
}
