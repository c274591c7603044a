/** Packed columns of the view service: little-endian numbers in bytes. */

const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Copies, so that the numbers are aligned and do not keep the whole message in memory. */
function aligned(bytes: Uint8Array, width: number): ArrayBuffer {
  if (!LITTLE) throw new Error("packed columns are read on little-endian machines only");
  const whole = bytes.byteLength - (bytes.byteLength % width);
  return bytes.slice(0, whole).buffer as ArrayBuffer;
}

export function uint32(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(aligned(bytes, 4));
}

export function uint16(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(aligned(bytes, 2));
}

export function float32(bytes: Uint8Array): Float32Array {
  return new Float32Array(aligned(bytes, 4));
}

/** Times in microseconds; 0 where the time has not come. */
export function times(bytes: Uint8Array, baseUs: bigint, unitUs: bigint): Float64Array {
  const values = uint32(bytes);
  const base = Number(baseUs);
  const unit = Number(unitUs);
  const result = new Float64Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number;
    result[at] = value === 0 ? 0 : base + (value - 1) * unit;
  }
  return result;
}
