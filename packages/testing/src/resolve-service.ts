import type { Report, Server, Service, ServiceName } from './service.ts'
import { startServer } from './start-server.ts'

export async function resolveService(name: ServiceName, report?: Report): Promise<Server> {
  return startServer(name, { report })
}
