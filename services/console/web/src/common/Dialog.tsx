import { Modal, type ModalProps } from "@mantine/core";
import { useReturnedFocus } from "./focus";

/** A dialog that is open as long as it is there. What had the focus before gets it back. */
export function Dialog(props: Omit<ModalProps, "opened">) {
  useReturnedFocus();
  return <Modal opened {...props} />;
}
