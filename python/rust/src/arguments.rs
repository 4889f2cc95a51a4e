//! What a call is asked with, out of Python's objects.

use grpclb::Call;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple};
use std::time::Duration;

/// Metadata whose objects are held, so that their text can be lent.
pub(crate) struct Metadata<'py>(Vec<(Bound<'py, PyString>, Value<'py>)>);

enum Value<'py> {
    Text(Bound<'py, PyString>),
    Octets(Bound<'py, PyBytes>),
}

impl<'py> Metadata<'py> {
    /// Reads a mapping, or a sequence of pairs.
    pub(crate) fn new(metadata: Option<&Bound<'py, PyAny>>) -> PyResult<Metadata<'py>> {
        let Some(metadata) = metadata else { return Ok(Metadata(Vec::new())) };
        let items = match metadata.cast::<PyDict>() {
            Ok(dict) => dict.items().into_any(),
            // (Most are a list or a tuple: asking whether it is a mapping takes longer.)
            Err(_) if metadata.is_instance_of::<PyTuple>() || metadata.is_instance_of::<PyList>() => {
                metadata.clone()
            }
            Err(_) => match metadata.cast::<PyMapping>() {
                Ok(mapping) => mapping.items()?.into_any(),
                Err(_) => metadata.clone(),
            },
        };
        let iterator = items.try_iter().map_err(|_| {
            PyTypeError::new_err(format!(
                "metadata: expected pairs of name and value, got {}",
                describe(metadata)
            ))
        })?;
        let pairs = iterator.enumerate().map(|(at, item)| pair(at, &item?));
        Ok(Metadata(pairs.collect::<PyResult<_>>()?))
    }

    /// Lends them for a call.
    pub(crate) fn lend(&self) -> PyResult<Vec<(&str, &[u8])>> {
        self.0
            .iter()
            .map(|(name, value)| {
                let octets = match value {
                    Value::Text(text) => text.to_str()?.as_bytes(),
                    Value::Octets(octets) => octets.as_bytes(),
                };
                Ok((name.to_str()?, octets))
            })
            .collect()
    }
}

fn pair<'py>(at: usize, item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyString>, Value<'py>)> {
    let wrong = || {
        PyTypeError::new_err(format!(
            "metadata[{at}]: expected a pair of a str and a str or bytes, got {}",
            describe(item)
        ))
    };
    // (Text would be a sequence, too.)
    let sequence = item.is_instance_of::<PyTuple>() || item.is_instance_of::<PyList>();
    if !sequence || item.len()? != 2 {
        return Err(wrong());
    }
    let (name, value) = (item.get_item(0)?, item.get_item(1)?);
    let name = name.cast_into::<PyString>().map_err(|_| wrong())?;
    let value = match value.cast_into::<PyString>() {
        Ok(text) => Value::Text(text),
        Err(error) => Value::Octets(error.into_inner().cast_into::<PyBytes>().map_err(|_| wrong())?),
    };
    Ok((name, value))
}

/// A call without its metadata. Negative timeouts are over at once; `None` and infinity are no deadline.
pub(crate) fn call<'a>(path: &'a str, timeout: Option<f64>, wait_for_ready: bool) -> PyResult<Call<'a>> {
    let call = Call::new(path).wait_for_ready(wait_for_ready);
    let Some(seconds) = timeout else { return Ok(call) };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout: expected seconds, got nan"));
    }
    Ok(duration(seconds).map_or(call, |timeout| call.timeout(timeout)))
}

/// Seconds as a time; `None`: too long to be one.
pub(crate) fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// What an argument is, for an error.
pub(crate) fn describe(value: &Bound<'_, PyAny>) -> String {
    let kind = value.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string());
    match value.repr() {
        Ok(text) if text.to_string_lossy().chars().count() <= 60 => format!("{kind} {text}"),
        _ => kind,
    }
}

/// Moments as numbers.
pub(crate) trait Moments {
    fn and_nanos(self) -> Option<u64>;
}

impl Moments for Option<grpclb::core::time::Instant> {
    fn and_nanos(self) -> Option<u64> {
        self.map(grpclb::core::time::Instant::as_nanos)
    }
}
