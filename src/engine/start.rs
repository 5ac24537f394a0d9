//! How the threads come to their models: weights are read once for each kind of device, networks built on each thread.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    time::Instant,
};

use anyhow::{Context, bail};
use tch::{Cuda, Device, Kind};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    Engine, Worker, dispatch, hold,
    host::{Host, Measured},
    message::Report,
    thread::{Slots, Thread},
};
use crate::{
    config::{self, Precision},
    error::Result,
    job::EngineInfo,
    model::{self, Card, Model, Weights, gaussian},
};

/// The configured devices.
///
/// # Errors
/// A name that is no device, or a device that is not there.
pub fn devices(config: &config::Engine) -> anyhow::Result<Vec<Device>> {
    if config.devices.is_empty() {
        bail!("engine.devices is empty; give at least [\"cpu\"]");
    }
    config.devices.iter().map(|name| device(name)).collect()
}

fn device(name: &str) -> anyhow::Result<Device> {
    let Some(index) = name.strip_prefix("cuda:") else {
        return if name == "cpu" {
            Ok(Device::Cpu)
        } else {
            bail!("engine.devices: `{name}` is neither cpu nor cuda:N")
        };
    };
    let index: usize = index.parse().with_context(|| format!("engine.devices: `{name}`"))?;
    let there = usize::try_from(Cuda::device_count()).unwrap_or(0);
    if index >= there {
        bail!("engine.devices: `{name}` is not there; this LibTorch sees {there} CUDA devices");
    }
    Ok(Device::Cuda(index))
}

/// The device's name in metrics and answers.
pub fn name(device: Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(0) => "cuda:0",
        Device::Cuda(1) => "cuda:1",
        Device::Cuda(2) => "cuda:2",
        Device::Cuda(3) => "cuda:3",
        Device::Cuda(_) => "cuda",
        _ => "other",
    }
}

fn kind(device: Device, precision: Precision) -> Kind {
    match (precision, device) {
        (Precision::F32, _) | (Precision::Auto, Device::Cpu) => Kind::Float,
        (Precision::F16, _) => Kind::Half,
        (Precision::Bf16 | Precision::Auto, _) => Kind::BFloat16,
    }
}

fn precision_name(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bf16",
        Kind::Half => "f16",
        _ => "f32",
    }
}

/// A model as a thread receives it.
struct Parcel {
    card: Arc<Card>,
    weights: Option<Weights>,
}

/// Loads the models on a thread of its own, then starts one thread for each device and the dispatcher.
pub fn spawn(engine: Engine, devices: Vec<Device>) {
    let (reports, incoming) = unbounded_channel();
    let (runtime, owner) = (tokio::runtime::Handle::current(), engine.clone());
    let load = move || {
        if let Err(cause) = load(&engine, &devices, &reports) {
            tracing::error!(cause = format!("{cause:#}"), "the engine could not start");
            #[expect(clippy::exit, reason = "without a model there is nothing to serve")]
            std::process::exit(1);
        }
        runtime.spawn(dispatch::run(engine, incoming));
    };
    let thread = std::thread::Builder::new().name("loader".into()).spawn(load);
    hold(&owner.0.threads).push(thread.expect("the system has room for a thread"));
}

fn load(engine: &Engine, devices: &[Device], reports: &UnboundedSender<Report>) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut shared: HashMap<(Arc<str>, String), Option<Weights>> = HashMap::new();
    let mut pending = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        let kind = kind(*device, engine.0.parts.config.engine.precision);
        let mut parcels = Vec::new();
        for card in engine.0.parts.catalog.iter() {
            let key = (card.id.clone(), format!("{device:?}"));
            if !shared.contains_key(&key) {
                shared.insert(key.clone(), weights(card, *device, kind)?);
            }
            let weights = shared[&key].as_ref().map(Weights::share);
            parcels.push(Parcel { card: card.clone(), weights });
        }
        pending.push(begin(engine, (index, *device, kind), parcels, reports.clone())?);
    }
    drop(shared);
    for ready in pending {
        let worker = ready.recv().context("a device's thread ended while it loaded its models")??;
        hold(&engine.0.workers).push(worker);
    }
    if engine.draining() {
        engine.stop();
    }
    engine.0.ready.store(true, Relaxed);
    tracing::info!(ms = started.elapsed().as_millis(), devices = devices.len(), "the engine is ready");
    Ok(())
}

fn weights(card: &Card, device: Device, kind: Kind) -> anyhow::Result<Option<Weights>> {
    if card.dir == PathBuf::new() {
        return Ok(None);
    }
    let started = Instant::now();
    let family = model::family(&card.dir)?;
    let weights = (family.weights)(card, device, kind).with_context(|| format!("the weights of `{}`", card.id))?;
    tracing::debug!(model = %card.id, ms = started.elapsed().as_millis(), bytes = weights.bytes(), "read the weights");
    Ok(Some(weights))
}

type Ready = Receiver<anyhow::Result<Worker>>;

fn begin(
    engine: &Engine,
    (index, device, kind): (usize, Device, Kind),
    parcels: Vec<Parcel>,
    reports: UnboundedSender<Report>,
) -> anyhow::Result<Ready> {
    let (ready, pending) = channel();
    let (commands, receiver) = channel();
    let parts = &engine.0.parts;
    let (config, metrics) = (parts.config.clone(), (*parts.metrics).clone());
    let work = move || {
        if config.engine.threads > 0 {
            tch::set_num_threads(i32::try_from(config.engine.threads).unwrap_or(i32::MAX));
        }
        let hosts = match hosts(parcels, device, kind, &config) {
            Ok(hosts) => hosts,
            Err(cause) => return drop(ready.send(Err(cause))),
        };
        let default = hosts.get(config.models.default.as_str());
        let cap = Arc::new(AtomicUsize::new(default.map_or(1, |host| host.native_cap(&config.engine))));
        let infos = hosts.iter().map(|(id, host)| (id.clone(), info(host, device, kind))).collect();
        let worker = Worker { commands, cap: cap.clone(), infos };
        if ready.send(Ok(worker)).is_ok() {
            let slots = Slots::default();
            Thread { device, hosts, config: config.engine, metrics, commands: receiver, reports, cap, slots }.run();
        }
    };
    let thread = std::thread::Builder::new().name(format!("device-{index}")).spawn(work);
    hold(&engine.0.threads).push(thread.context("a thread for a device")?);
    Ok(pending)
}

fn hosts(
    parcels: Vec<Parcel>,
    device: Device,
    kind: Kind,
    config: &config::Config,
) -> anyhow::Result<HashMap<Arc<str>, Host>> {
    let dir = measured_dir(config);
    let host = |parcel: Parcel| -> anyhow::Result<(Arc<str>, Host)> {
        let id = parcel.card.id.clone();
        let file = dir.as_ref().map(|dir| dir.join(measured_file(&parcel.card, device, kind)));
        let known = file.as_deref().map(known).unwrap_or_default();
        let model = build(&parcel, device)?;
        let mut host = Host::new(model, device, &config.engine, known).with_context(|| format!("the model `{id}`"))?;
        host.file = file;
        host.measured().keep(host.file.as_deref());
        Ok((id, host))
    };
    parcels.into_iter().map(host).collect()
}

fn build(parcel: &Parcel, device: Device) -> Result<Box<dyn Model>> {
    match &parcel.weights {
        Some(weights) => (model::family(&parcel.card.dir)?.build)(&parcel.card, weights),
        None => Ok(Box::new(gaussian::Gaussian::new(parcel.card.clone(), device))),
    }
}

fn info(host: &Host, device: Device, kind: Kind) -> EngineInfo {
    EngineInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        device: name(device).into(),
        precision: if host.card().dir == PathBuf::new() { "f64" } else { precision_name(kind) }.into(),
        strict: host.is_strict(),
        model_sha256: host.card().sha256.clone(),
    }
}

/// Where measurements are kept from one start to the next; nowhere for a store in memory.
fn measured_dir(config: &config::Config) -> Option<PathBuf> {
    if config.engine.curve_dir != PathBuf::new() {
        return Some(config.engine.curve_dir.clone());
    }
    let path = Path::new(config.store.database_url.strip_prefix("sqlite://")?);
    Some(path.parent()?.join("measured"))
}

/// One file for each binary, model, device, precision and number of threads: what was measured on another is not true here.
fn measured_file(card: &Card, device: Device, kind: Kind) -> String {
    let binary = std::env::current_exe().and_then(|path| path.metadata()).map_or(0, |metadata| metadata.len());
    let (model, device) = (&card.sha256[..card.sha256.len().min(16)], name(device).replace(':', ""));
    format!("{}-{model}-{device}-{}-{}-{binary:x}.json", card.id, precision_name(kind), tch::get_num_threads())
}

fn known(file: &Path) -> Measured {
    let written = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&written).unwrap_or_default()
}
