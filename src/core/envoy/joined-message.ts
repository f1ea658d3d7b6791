/** Messages of protobuf one behind the other are one message with the fields of both: what is made once is encoded once. */
export function joinedMessage(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
