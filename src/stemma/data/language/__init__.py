"""What language is learned from: worlds of facts and the documents that tell them, sentences beside their meanings."""
