/**
 * What is used of `node:http`. Importing that module itself would evaluate all its exports, also the getters for WebSocket, which
 * load undici and HTTP/2: 16 MB in every process that only serves. Its types cost nothing and come from it as ever.
 */
export const { Agent, createServer, request, ServerResponse } = process.getBuiltinModule('node:http')
