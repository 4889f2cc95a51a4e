//! The balancer without sockets. Moments are nanoseconds of the program's clock, subchannels numbers.

use crate::arguments::{Moments, describe};
use crate::blocking::state_number;
use grpclb::core::balancer::{Action, Address, Config, Endpoint, Pick, SubchannelEvent, SubchannelId};
use grpclb::core::time::Instant;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList, PyString, PyTuple};
use std::time::Duration;

#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Picker(Box<grpclb::Picker>);

#[pymethods]
impl Picker {
    #[new]
    fn new(
        seed: u64,
        position: u64,
        initial_backoff: Option<Duration>,
        max_backoff: Option<Duration>,
        connect_timeout: Option<Duration>,
        happy_eyeballs_delay: Option<Duration>,
        idle_timeout: Option<Duration>,
    ) -> Picker {
        let default = Config::default();
        let config = Config {
            seed,
            initial_backoff: initial_backoff.unwrap_or(default.initial_backoff),
            max_backoff: max_backoff.unwrap_or(default.max_backoff),
            min_connect_timeout: connect_timeout.unwrap_or(default.min_connect_timeout),
            happy_eyeballs_delay: happy_eyeballs_delay.unwrap_or(default.happy_eyeballs_delay),
            idle_timeout,
        };
        Picker(Box::new(grpclb::Picker::new(&config, position)))
    }

    fn handle_resolution(
        &self,
        now: u64,
        endpoints: &Bound<'_, PyAny>,
        weights: Option<Vec<u32>>,
        service_config: &str,
    ) -> PyResult<()> {
        let texts = endpoints.try_iter()?.enumerate().map(|(at, one)| texts(at, &one?));
        let texts: Vec<Vec<String>> = texts.collect::<PyResult<_>>()?;
        let weights = weights.unwrap_or_else(|| vec![1; texts.len()]);
        if weights.len() != texts.len() {
            return Err(PyValueError::new_err(format!(
                "weights: expected as many as endpoints, got {} and {}",
                weights.len(),
                texts.len()
            )));
        }
        let mut addresses = Vec::new();
        for (at, texts) in texts.iter().enumerate() {
            let parsed = texts.iter().map(|text| {
                Address::parse(text)
                    .map_err(|error| PyValueError::new_err(format!("endpoints[{at}]: {text:?}: {error}")))
            });
            addresses.push(parsed.collect::<PyResult<Vec<_>>>()?);
        }
        let endpoints: Vec<_> =
            addresses.iter().zip(weights).map(|(addresses, weight)| Endpoint { addresses, weight }).collect();
        let taken = self.0.handle_resolution(Instant::from_nanos(now), &endpoints, service_config);
        taken.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn handle_resolution_error(&self, now: u64) {
        self.0.handle_resolution_error(Instant::from_nanos(now));
    }

    /// `event`: 0 ready, 1 failed, 2 lost.
    fn handle_subchannel(&self, now: u64, subchannel: u32, event: u8) -> PyResult<()> {
        let event = match event {
            0 => SubchannelEvent::Ready,
            1 => SubchannelEvent::Failed,
            2 => SubchannelEvent::Lost,
            _ => return Err(PyValueError::new_err("event: expected 0 to 2")),
        };
        self.0.handle_subchannel(Instant::from_nanos(now), id(subchannel), event);
        Ok(())
    }

    fn connect(&self, now: u64) {
        self.0.connect(Instant::from_nanos(now));
    }

    fn set_busy(&self, now: u64, busy: bool) {
        self.0.set_busy(Instant::from_nanos(now), busy);
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }

    /// `(kind, subchannel)`, kind 0 resolve, 1 connect, 2 close.
    fn poll_action(&self) -> Option<(u8, Option<u32>)> {
        self.0.poll_action().map(|action| match action {
            Action::Resolve => (0, None),
            Action::Connect(id) => (1, Some(number(id))),
            Action::Close(id) => (2, Some(number(id))),
        })
    }

    fn address(&self, subchannel: u32) -> Option<String> {
        self.0.address(id(subchannel))
    }

    fn state(&self) -> u8 {
        state_number(self.0.state())
    }

    /// A subchannel, or -1 queue, -2 fail, -3 drop.
    fn pick(&self, now: u64) -> i64 {
        match self.0.pick(Instant::from_nanos(now)) {
            Pick::Subchannel(id) => number(id).into(),
            Pick::Queue => -1,
            Pick::Fail => -2,
            Pick::Drop => -3,
        }
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.0.poll_timeout().and_nanos()
    }

    fn handle_timeout(&self, now: u64) {
        self.0.handle_timeout(Instant::from_nanos(now));
    }

    fn ready_count(&self) -> usize {
        self.0.ready_count()
    }

    /// `(address, state, weight, subchannel)` of each.
    fn endpoints(&self) -> Vec<(String, u8, u32, u32)> {
        let all = (0..self.0.endpoint_count()).filter_map(|i| self.0.endpoint(i));
        all.map(|one| (one.address, state_number(one.state), one.weight, number(one.id))).collect()
    }
}

/// An endpoint's addresses: one text, or several.
fn texts(at: usize, endpoint: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = endpoint.cast::<PyString>() {
        return Ok(vec![text.to_str()?.into()]);
    }
    let several = endpoint.is_instance_of::<PyTuple>() || endpoint.is_instance_of::<PyList>();
    let several = several.then(|| endpoint.extract().ok()).flatten();
    several.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "endpoints[{at}]: expected an address, or a list of addresses, got {}",
            describe(endpoint)
        ))
    })
}

fn number(id: SubchannelId) -> u32 {
    u32::from(id.generation) << 16 | u32::from(id.index)
}

fn id(number: u32) -> SubchannelId {
    SubchannelId { index: number as u16, generation: (number >> 16) as u16 }
}
