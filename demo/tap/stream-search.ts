/** Finds texts in one direction of a byte stream, across the borders of its chunks. */
export class StreamSearch {
  readonly #marker: Buffer;
  #rest: Buffer = Buffer.alloc(0);

  constructor(marker: string) {
    this.#marker = Buffer.from(marker, 'latin1');
  }

  /** How often the marker ends within this chunk, and the call ids that became readable with it. */
  search(chunk: Buffer): { readonly markers: number; readonly callIds: readonly string[] } {
    const kept = this.#rest.length;
    const bytes = kept === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const keep = Math.max(this.#marker.length, callIdPrefix.length + CALL_ID_OCTETS) - 1;
    this.#rest = Buffer.from(bytes.subarray(Math.max(0, bytes.length - keep)));
    const callIds = findAll(bytes, callIdPrefix, callIdPrefix.length + CALL_ID_OCTETS, kept).map((at) =>
      bytes.toString('latin1', at + callIdPrefix.length, at + callIdPrefix.length + CALL_ID_OCTETS),
    );
    return { markers: findAll(bytes, this.#marker, this.#marker.length, kept).length, callIds };
  }
}

/** Where `text` stands, so that the `size` octets from there end after the first `seen` octets (those were searched before). */
function findAll(bytes: Buffer, text: Buffer, size: number, seen: number): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1)) {
    if (at + size > seen && at + size <= bytes.length) found.push(at);
  }
  return found;
}

/** The header that every call of the fleet carries, as Node writes it. */
const callIdPrefix = Buffer.from('x-call-id: ', 'latin1');
const CALL_ID_OCTETS = 20;
