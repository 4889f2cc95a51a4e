//! The keyword arguments that both channels take.

use crate::arguments::{describe, duration};
use grpclb::host::channel::ConnectError;
use grpclb::{Channel, ChannelBuilder};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use std::time::Duration;

/// The longest time that an option takes; anything longer is a mistake of units.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Largest value of gRPC's length prefix.
const MAX_MESSAGE: u64 = u32::MAX as u64;

/// gRPC's own default (gRFC A8), when a keepalive time is given alone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A builder with what `options` say; an error names the option.
pub(crate) fn builder(
    target: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<ChannelBuilder> {
    let Ok(target) = target.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("target: expected a str, got {}", describe(target))));
    };
    let mut builder = Channel::builder(target.to_str()?);
    let (mut keepalive_time, mut keepalive_timeout) = (None, None);
    let (mut initial, mut largest) = (Duration::from_secs(1), Duration::from_secs(120));
    for (name, value) in options.into_iter().flatten() {
        let name = name.cast::<PyString>()?.to_str()?;
        // `None` leaves an option at its default, but for the one where it says something.
        if value.is_none() && name != "idle_timeout" {
            continue;
        }
        builder = match name {
            "service_config" => builder.service_config(text(name, &value)?),
            "authority" => builder.authority(text(name, &value)?),
            "max_message_size" => builder.max_message_size(octets(name, &value)?),
            "connect_timeout" => builder.connect_timeout(time(name, &value)?),
            "idle_timeout" if value.is_none() => builder.idle_timeout(None),
            "idle_timeout" => builder.idle_timeout(Some(time(name, &value)?)),
            "keepalive_time" => {
                keepalive_time = Some(time(name, &value)?);
                builder
            }
            "keepalive_timeout" => {
                keepalive_timeout = Some(time(name, &value)?);
                builder
            }
            "initial_backoff" => {
                initial = time(name, &value)?;
                builder
            }
            "max_backoff" => {
                largest = time(name, &value)?;
                builder
            }
            _ => return Err(PyTypeError::new_err(format!("{name}: there is no such option of a channel"))),
        };
    }
    match (keepalive_time, keepalive_timeout) {
        (Some(time), timeout) => builder = builder.keepalive(time, timeout.unwrap_or(KEEPALIVE_TIMEOUT)),
        (None, Some(_)) => {
            return Err(PyValueError::new_err("keepalive_timeout: expected together with keepalive_time"));
        }
        (None, None) => {}
    }
    if largest < initial {
        return Err(PyValueError::new_err("max_backoff: expected at least initial_backoff"));
    }
    Ok(builder.backoff(initial, largest))
}

/// Why a channel cannot be made, as Python says it.
pub(crate) fn refused(error: ConnectError) -> PyErr {
    match error {
        ConnectError::Io(error) => PyOSError::new_err(format!("the system refused a channel: {error}")),
        other => PyValueError::new_err(other.to_string()),
    }
}

fn text<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(value) => value.to_str(),
        Err(_) => Err(PyTypeError::new_err(format!("{name}: expected a str, got {}", describe(value)))),
    }
}

fn octets(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    let expected = format!("{name}: expected a number of octets from 0 to {MAX_MESSAGE}");
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{expected}, got {}", describe(value))));
    }
    value.extract().map_err(|_| PyValueError::new_err(format!("{expected}, got {}", describe(value))))
}

fn time(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    if !number || value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{name}: expected seconds, got {}", describe(value))));
    }
    // (An integer may be too large to be one.)
    let seconds: f64 = value.extract().unwrap_or(f64::INFINITY);
    match duration(seconds) {
        Some(time) if seconds > 0.0 && time <= LONGEST => Ok(time),
        _ => Err(PyValueError::new_err(format!(
            "{name}: expected seconds, more than 0 and at most a year, got {}",
            describe(value)
        ))),
    }
}
