import type { DescMessage, DescMethodBiDiStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import type { Identity, Node } from './peer.ts';

/**
 * Who may call a method. `anyone` is for Join alone; `holder`, for Renew alone, is a node or one whose certificate ended within its grace; `workload`, for
 * secrets alone, is whoever has an identity of ours.
 */
export type Access = 'anyone' | 'holder' | 'node' | 'probe' | 'workload';

/** What a handler may know of the connection it serves. */
export type CallContext<A extends Access = Access> = A extends 'anyone'
  ? { readonly remote: string }
  : A extends 'workload'
    ? { readonly remote: string; readonly identity: Identity }
    : { readonly remote: string; readonly node: Node };

/** One open stream as its handler sees it. Everything sent is delivered in order. */
export type ServerStream<O extends DescMessage> = {
  /** False when the receiver is slow: send nothing until `drained`. */
  send(message: MessageShape<O> | Uint8Array): boolean;
  /** Ends the stream; without a reason it ends well. Safe to call twice. */
  close(reason?: unknown): void;
};

/** What the handler of a stream gives back. Messages come one at a time: the next waits until `message` resolved. */
export type StreamHandler<I extends DescMessage> = {
  message(message: MessageShape<I>): Promise<void> | void;
  drained?(): void;
  /** Called once, however the stream ended. */
  closed?(): void;
};

export type UnaryMethod = {
  readonly kind: 'unary';
  readonly method: DescMethodUnary;
  readonly access: Access;
  readonly handle: (request: never, context: never) => Promise<MessageShape<DescMessage>>;
};

export type StreamMethod = {
  readonly kind: 'stream';
  readonly method: DescMethodBiDiStreaming;
  readonly access: Access;
  readonly open: (stream: never, context: never) => StreamHandler<never>;
};

export type RpcMethod = UnaryMethod | StreamMethod;

/** A method that answers one message with one message. */
export function unaryMethod<I extends DescMessage, O extends DescMessage, A extends Access>(
  method: DescMethodUnary<I, O>,
  access: A,
  handle: (request: MessageShape<I>, context: CallContext<A>) => Promise<MessageShape<O>>,
): UnaryMethod {
  return { kind: 'unary', method, access, handle };
}

/** A method that holds a stream in both directions. */
export function streamMethod<I extends DescMessage, O extends DescMessage, A extends Access>(
  method: DescMethodBiDiStreaming<I, O>,
  access: A,
  open: (stream: ServerStream<O>, context: CallContext<A>) => StreamHandler<I>,
): StreamMethod {
  return { kind: 'stream', method, access, open };
}
