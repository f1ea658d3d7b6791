import type { Socket } from 'node:net';
import { dialWithFailover } from '../tls/dial.ts';
import { Http2Pool, type StreamWish } from './http2-pool.ts';
