//! What a library without an operating system brings along.

/// Never linked, for no panic is in reach: `.ci/bare.sh` looks for it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
