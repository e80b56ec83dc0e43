//! What only the embedded store promises: one owner of the file, and nothing acknowledged lost, however the process ends.
