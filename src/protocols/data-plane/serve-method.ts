import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { type Outgoing } from '../../platform/grpc/method-definition.ts';
import { encodeProblem } from '../../platform/grpc/wire-problem.ts';
import type { Access, CallContext, RpcMethod, StreamHandler, StreamMethod, UnaryMethod } from './rpc-method.ts';

type AnyMessage = MessageShape<DescMessage>;
export type AnyCall = ServerUnaryCall<AnyMessage, AnyMessage> | ServerDuplexStream<AnyMessage, Outgoing<DescMessage>>;

/** What the listener gives to each call. */
export type CallGate = {
  /** The context of this call. @throws Violation if its connection may not call this method. */
  admit(call: AnyCall, method: RpcMethod): CallContext;
  /** Told of each call that ended badly, before the answer is sent. */
  refused(call: AnyCall, method: RpcMethod, error: unknown): void;
  /** An open stream, so that it can be closed when its identity is suspended. The result forgets it. */
  track(call: AnyCall, close: (reason: unknown) => void): () => void;
};

/** The grpc-js handler of a method. */
export function serveMethod(method: RpcMethod, gate: CallGate): handleUnaryCall<any, any> | handleBidiStreamingCall<any, any> {
  return method.kind === 'unary' ? serveUnary(method, gate) : serveStream(method, gate);
}

function serveUnary(method: UnaryMethod, gate: CallGate): handleUnaryCall<AnyMessage, AnyMessage> {
  const handle = method.handle as (request: AnyMessage, context: CallContext<Access>) => Promise<AnyMessage>;
  return (call: ServerUnaryCall<AnyMessage, AnyMessage>, answer: sendUnaryData<AnyMessage>) => {
    const run = async (): Promise<AnyMessage> => handle(call.request, gate.admit(call, method));
    run().then(
      (message) => answer(null, message),
      (error: unknown) => {
        gate.refused(call, method, error);
        answer(encodeProblem(error));
      },
    );
  };
}

function serveStream(method: StreamMethod, gate: CallGate): handleBidiStreamingCall<AnyMessage, Outgoing<DescMessage>> {
  const open = method.open as (stream: unknown, context: CallContext<Access>) => StreamHandler<DescMessage>;
  return (call) => {
    let ended = false;
    let handler: StreamHandler<DescMessage> | null = null;
    let forget: (() => void) | null = null;
    const finish = (): void => {
      if (ended) return;
      ended = true;
      forget?.();
      handler?.closed?.();
    };
    const close = (reason?: unknown): void => {
      if (ended) return;
      if (reason !== undefined) gate.refused(call, method, reason);
      finish();
      if (reason === undefined) call.end();
      else call.emit('error', encodeProblem(reason));
    };
    const send = (message: Outgoing<DescMessage>): boolean => ended || call.write(message);
    call.on('cancelled', finish);
    call.on('error', finish);
    call.on('close', finish);
    call.on('end', () => close());
    call.on('drain', () => !ended && handler?.drained?.());
    call.on('data', (message: AnyMessage) => {
      if (ended || handler === null) return;
      call.pause();
      new Promise<void>((resolve) => resolve(handler!.message(message))).then(() => call.resume(), close);
    });
    try {
      handler = open({ send, close }, gate.admit(call, method));
      if (ended) return;
      forget = gate.track(call, close);
      // Tells the client that it is admitted; without it the headers would wait for the first message.
      call.sendMetadata(new Metadata());
    } catch (error) {
      close(error);
    }
  };
}
