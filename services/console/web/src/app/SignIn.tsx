import { Code, Stack, Text, Title } from "@mantine/core";

/** Says how to get in: there is no password, a command on the server's machine prints a link that works once. */
export function SignIn() {
  return (
    <Stack align="center" p="xl">
      <Title order={1}>Sign in</Title>
      <Text>Run this on the machine of the console, and open the link that it prints:</Text>
      <Code>kaon ui</Code>
    </Stack>
  );
}
